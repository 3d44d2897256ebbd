// Draws the charts of a page with uPlot, anew each minute; a click opens the tasks of that minute or hour. Marks say when
// workers with another release started.
'use strict';
(() => {
  const place = document.querySelector('[data-charts]');
  if (!place || !window.uPlot) return;
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const SERIES = {
    finished: data => [['Succeeded', data.succeeded, '--good-edge'], ['Failed', data.failed, '--bad-edge'], ['Other', data.other, '--edge']],
    failed: data => [['Failed', data.failed, '--bad-edge'], ['Tried again', data.retried, '--warn-edge']],
    run: data => [['Half', data.run_p50_s, '--busy-edge'], ['95 %', data.run_p95_s, '--bad-edge']],
    wait: data => [['Half', data.wait_p50_s, '--busy-edge'], ['95 %', data.wait_p95_s, '--bad-edge']],
  };
  let drawn = [], seen = null;

  const open = chart => {
    const at = chart.cursor.idx;
    if (at == null) return;
    const from = chart.data[0][at] * 1000;
    const url = new URL(place.dataset.tasks, location.href);
    url.searchParams.set('q', `state:finished since:${from} until:${from + seen.each_s * 1000} ${place.dataset.filter}`.trim());
    location.href = url;
  };
  const marks = chart => {
    const { ctx, bbox } = chart;
    ctx.save();
    ctx.strokeStyle = ctx.fillStyle = colour('--ink');
    ctx.font = `${11 * devicePixelRatio}px sans-serif`;
    ctx.setLineDash([4 * devicePixelRatio, 3 * devicePixelRatio]);
    for (const { at, text } of seen.releases) {
      const x = Math.round(chart.valToPos(at, 'x', true));
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      ctx.textAlign = x > bbox.left + bbox.width / 2 ? 'right' : 'left';
      ctx.fillText(` ${text.slice(0, 40)} `, x, bbox.top + 12 * devicePixelRatio);
    }
    ctx.restore();
  };
  const draw = () => {
    for (const chart of drawn) chart.destroy();
    const line = colour('--line'), ink = colour('--soft');
    const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
    // Where something is, and at least the last sixty; a double click shows all.
    const first = seen.at.findIndex((_, at) => seen.succeeded[at] || seen.failed[at] || seen.other[at]);
    const began = seen.at[Math.max(0, Math.min(first < 0 ? Infinity : first - 5, seen.at.length - 60))];
    drawn = [...place.querySelectorAll('[data-chart]')].map(box => {
      const series = SERIES[box.dataset.chart](seen);
      const most = Math.max(0, ...series.flatMap(([, values]) => values));
      const isFew = seen.succeeded.filter((value, at) => value || seen.failed[at]).length < 100; // a line alone would not show them
      const isTime = /run|wait/.test(box.dataset.chart);
      box.setAttribute('role', 'img');
      box.setAttribute('aria-label', `Chart; at most ${isTime ? `${most} s` : most}. The table has the numbers.`);
      const chart = new uPlot({
        width: box.clientWidth, height: 190,
        scales: { x: { min: began, max: seen.at.at(-1) }, y: { range: (_, low, high) => [0, Math.max(high ?? 0, isTime ? 0.001 : 1) * 1.05] } },
        axes: [{ ...axis }, { ...axis, size: 56 }],
        cursor: { drag: { x: true, y: false }, points: { size: 7 } },
        hooks: { draw: [marks] },
        series: [{}, ...series.map(([label, , name]) => ({ label, stroke: colour(name), width: 1.5, fill: isTime ? undefined : `${colour(name)}22`, points: { show: isFew, size: 4, filter: (chart, of) => chart.data[of].flatMap((value, at) => value ? [at] : []) }, spanGaps: false }))],
      }, [seen.at, ...series.map(([, values]) => values)], box);
      let down = 0;
      chart.over.addEventListener('mousedown', event => { down = event.clientX; });
      chart.over.addEventListener('click', event => { if (Math.abs(event.clientX - down) < 4) open(chart); });
      return chart;
    });
  };
  const COLUMNS = [['Ended', 'finished'], ['Failed', 'failed'], ['Tried again', 'retried'], ['Run time, half', 'run_p50'], ['95 %', 'run_p95'], ['Wait, half', 'wait_p50'], ['95 %', 'wait_p95']];
  const tabulate = () => {
    const box = document.querySelector('[data-chart-table]');
    if (!box) return;
    const made = (name, text, scope) => { const one = document.createElement(name); one.textContent = text; if (scope) one.scope = scope; return one; };
    const table = document.createElement('table'), head = table.createTHead().insertRow(), body = table.createTBody();
    table.createCaption().textContent = 'By the hour, UTC';
    head.append(made('th', 'Hour', 'col'), ...COLUMNS.map(([title]) => made('th', title, 'col')));
    for (const one of seen.table) {
      const link = made('a', one.at), cell = made('th', '', 'row'), url = new URL(place.dataset.tasks, location.href);
      url.search = `q=${one.filter}`;
      link.href = url;
      cell.append(link);
      body.insertRow().append(cell, ...COLUMNS.map(([, name]) => made('td', one[name])));
    }
    box.querySelector('div').replaceChildren(table);
    box.hidden = !seen.table.length;
  };
  const load = async () => {
    if (document.hidden) return;
    try {
      const response = await fetch(place.dataset.charts, { headers: { Accept: 'application/json' }, redirect: 'error' });
      if (!response.ok) return;
      seen = await response.json();
      const isEmpty = !seen.table.length, help = document.getElementById('charts-help'), empty = document.querySelector('[data-chart-empty]');
      place.hidden = isEmpty;
      if (help) help.hidden = isEmpty;
      if (empty) empty.hidden = !isEmpty;
      tabulate();
      if (!isEmpty) draw();
    } catch { /* the table stays */ }
  };
  dark.addEventListener('change', () => seen && draw());
  let width = innerWidth;
  addEventListener('resize', () => { if (seen && innerWidth !== width) { width = innerWidth; draw(); } });
  setInterval(load, 60000);
  load();
})();
