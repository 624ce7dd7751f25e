"""One step of the browser's Back button for each choice: a script that runs once in every tab.

A page that is opened says which of the choices in ALWAYS it shows, and Streamlit makes every change of the address a
new step. So Back would lead to the same page with less said in its address, which says it again. The script lets an
address that only completes the one before, on the same page, take its place.
"""

from __future__ import annotations

import json

from dashboard.state import ALWAYS

SCRIPT = """
<script>
(() => {
    if (window.completesAddresses) return;
    window.completesAddresses = true;
    const always = ALWAYS, push = history.pushState;
    history.pushState = function (state, unused, url) {
        const from = new URL(location), to = new URL(url ?? location, location);
        const said = [...to.searchParams].map(String);
        const completes = from.pathname === to.pathname
            && [...from.searchParams].every(pair => said.includes(String(pair)))
            && always.some(key => to.searchParams.has(key) && !from.searchParams.has(key));
        return (completes ? history.replaceState : push).call(history, state, unused, url);
    };
})();
</script>
""".replace("ALWAYS", json.dumps(sorted(ALWAYS)))
