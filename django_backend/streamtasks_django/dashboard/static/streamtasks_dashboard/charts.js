// Draws the charts of a page with uPlot, anew each minute; a click opens the tasks of that minute.
'use strict';
(() => {
  const place = document.querySelector('[data-charts]');
  if (!place || !window.uPlot) return;
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const SERIES = {
    finished: data => [['Succeeded', data.succeeded, '--good-edge'], ['Failed', data.failed, '--bad-edge'], ['Other', data.other, '--edge']],
    failed: data => [['Failed', data.failed, '--bad-edge']],
    mean: data => [['Mean run time', data.mean_ms, '--busy-edge']],
  };
  let drawn = [], seen = null;

  const open = chart => {
    const at = chart.cursor.idx;
    if (at == null) return;
    const from = chart.data[0][at] * 1000, queue = place.dataset.queue;
    const url = new URL(place.dataset.tasks, location.href);
    url.searchParams.set('q', `state:finished since:${from} until:${from + 60000}${queue ? ` queue:${queue}` : ''}`);
    location.href = url;
  };
  const draw = () => {
    for (const chart of drawn) chart.destroy();
    const line = colour('--line'), ink = colour('--soft');
    const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
    // Where something is, and at least the last hour; a double click shows all.
    const first = seen.at.findIndex((_, at) => seen.succeeded[at] || seen.failed[at] || seen.other[at]);
    const began = seen.at[Math.max(0, Math.min(first < 0 ? Infinity : first - 5, seen.at.length - 60))];
    drawn = [...place.querySelectorAll('[data-chart]')].map(box => {
      const series = SERIES[box.dataset.chart](seen);
      const most = Math.max(0, ...series.flatMap(([, values]) => values));
      box.setAttribute('role', 'img');
      box.setAttribute('aria-label', `Chart; at most ${most} in a minute. The table below has the numbers.`);
      const chart = new uPlot({
        width: box.clientWidth, height: 190,
        scales: { x: { min: began, max: seen.at.at(-1) }, y: { range: (_, low, high) => [0, Math.max(high ?? 0, 1) * 1.05] } },
        axes: [{ ...axis }, { ...axis, size: 56 }],
        cursor: { drag: { x: true, y: false }, points: { size: 7 } },
        series: [{}, ...series.map(([label, , name]) => ({ label, stroke: colour(name), width: 1.5, fill: `${colour(name)}22`, points: { show: false }, spanGaps: false }))],
      }, [seen.at, ...series.map(([, values]) => values)], box);
      let down = 0;
      chart.over.addEventListener('mousedown', event => { down = event.clientX; });
      chart.over.addEventListener('click', event => { if (Math.abs(event.clientX - down) < 4) open(chart); });
      return chart;
    });
  };
  const load = async () => {
    if (document.hidden) return;
    try {
      const response = await fetch(place.dataset.charts, { headers: { Accept: 'application/json' }, redirect: 'error' });
      if (!response.ok) return;
      seen = await response.json();
      place.hidden = document.getElementById('charts-help').hidden = false;
      draw();
    } catch { /* the table stays */ }
  };
  dark.addEventListener('change', () => seen && draw());
  let width = innerWidth;
  addEventListener('resize', () => { if (seen && innerWidth !== width) { width = innerWidth; draw(); } });
  setInterval(load, 60000);
  load();
})();
