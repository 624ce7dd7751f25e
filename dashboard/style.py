"""The few rules of style that Streamlit has no option for. Constant text: nothing from the warehouse gets in here."""

ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#0072B2"/>'
    '<g fill="none" stroke="#fff" stroke-width="2.6" stroke-linecap="round"><path d="M7 25V7M7 25h18"/>'
    '<path d="M22 11a9 9 0 0 1 1 9"/><path d="M12 13a9 9 0 0 1 10-2"/></g></svg>'
)
"""The page's icon; drawn here, because Streamlit fetches named icons for it from the network."""

CSS = """
<style>
[data-testid="stMainBlockContainer"] { padding: 4.2rem 2.2rem 2rem 2.2rem; max-width: 1800px; }
[data-testid="stMainBlockContainer"] h2 { padding-top: 0; font-size: 1.7rem; }
[data-testid="stMainBlockContainer"] h3 { font-size: 1.25rem; }
[data-testid="stMarkdownContainer"] :is(p, li, td), [data-testid="stCaptionContainer"] p { max-width: 116ch; }
[data-testid="stMarkdownContainer"] :not(pre) > code { white-space: nowrap; }
[class*="st-key-found_"] ul { columns: 2 60ch; column-gap: 2.5rem; }
[class*="st-key-found_"] :is(ul, li) { font-size: 0.95rem; }
[class*="st-key-found_"] li { break-inside: avoid; margin: 0 0 0.4em 1.15em; }
[class*="st-key-card_"] [data-testid="stPageLink"] a { padding: 0 0.2rem; min-height: 1.4rem; }
[class*="st-key-card_"] [data-testid="stPageLink"] p { text-decoration: underline; }
[data-testid="stLayoutWrapper"]:has(> [class*="st-key-steps"]) { position: absolute; }
[data-testid="stText"] { white-space: pre-wrap; overflow-wrap: anywhere; font-size: 0.85rem; }
[data-testid="stMetricValue"] { font-size: 1.45rem; }
[class*="st-key-downloads_"] { margin-top: -0.3rem; }
[class*="st-key-downloads_"] button { min-height: 1.3rem; padding: 0 0.2rem; opacity: 0.75; }
[class*="st-key-downloads_"] button p, [class*="st-key-downloads_"] button span { font-size: 0.8rem; }
[class*="st-key-downloads_"] button:hover { opacity: 1; }
</style>
"""
