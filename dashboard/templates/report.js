const figures = Array.from(document.querySelectorAll('script[data-figure]'));
async function start() {
  const packed = Uint8Array.from(atob(document.getElementById('plotly').textContent), c => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('gzip'));
  const script = document.createElement('script');
  script.textContent = await new Response(stream).text();
  document.head.append(script);
  for (const source of figures) {
    const {data, layout} = JSON.parse(source.textContent);
    const place = document.getElementById(source.dataset.figure);
    const axis = {gridcolor: '#e3e7eb', zerolinecolor: '#e3e7eb', linecolor: '#c5ccd3'};
    for (const key of Object.keys(layout).filter(k => /^[xy]axis/.test(k))) layout[key] = {...axis, ...layout[key]};
    layout.font = {family: 'system-ui, sans-serif', color: '#1b1f24', ...layout.font};
    await Plotly.newPlot(place, data, layout, {responsive: true, displaylogo: false,
      modeBarButtonsToRemove: ['lasso2d', 'select2d', 'autoScale2d'],
      toImageButtonOptions: {format: 'svg', filename: 'rotoscale-' + source.dataset.figure}});
  }
  document.body.dataset.drawn = figures.length;
}
// Figures have the width of the window; on A4 between the margins there are 186 mm, 96 pixels to the inch.
const PAPER = Math.floor(186 / 25.4 * 96), GAP = 13;
function eachFigure(change) {
  if (document.body.dataset.drawn) {
    for (const place of document.querySelectorAll('.figure')) Plotly.relayout(place, change(place));
  }
}
addEventListener('beforeprint', () => eachFigure(place => ({autosize: false,
  width: place.closest('.two') ? Math.floor((PAPER - GAP) / 2) : PAPER, height: place.clientHeight})));
addEventListener('afterprint', () => eachFigure(() => ({autosize: true, width: null, height: null})));
start().catch(error => { document.getElementById('problem').textContent =
  'The figures need a browser of 2023 or newer (' + error.message + '); the tables are complete without them.'; });
