// Keeps the live parts of a page up to date: by server-sent events, or by asking now and then. Rests while the tab is
// hidden, stops when it is told to, and says when what is shown is no longer of now.
'use strict';
(() => {
  const by = document.body.dataset.liveBy, said = document.getElementById('live'), toggle = document.getElementById('live-toggle');
  if (!by || !document.querySelector('[data-live]')) return;
  const POLL_MS = 3000, STALE_MS = 15000, STORED = 'streamtasks-live-off';
  const stored = value => { try { return value === undefined ? sessionStorage.getItem(STORED) : sessionStorage.setItem(STORED, value); } catch { return null; } };
  let polls = by !== 'events', wanted = stored() !== '1', source = null, timer = 0, since = Date.now(), problem = '';
  const address = kind => { const url = new URL(location.href); url.searchParams.set('live', kind); url.hash = ''; return url; };

  // Change as little as possible, so that focus, open details, scroll positions and selections stay.
  const keyOf = one => one.nodeType !== 1 ? '' : one.id || one.dataset.row || (/^(TR|LI|SECTION)$/.test(one.nodeName) && one.querySelector('a')?.getAttribute('href')) || '';
  const KEPT = new Set(['open', 'data-label', 'tabindex']);
  const sync = (old, fresh) => {
    if (old.isEqualNode(fresh)) return;
    if (old.nodeName !== fresh.nodeName) { old.replaceWith(fresh); return; }
    if (old.nodeType !== 1) { old.data = fresh.data; return; }
    for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && !KEPT.has(name)) old.removeAttribute(name);
    for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value && !KEPT.has(name)) old.setAttribute(name, value);
    children(old, fresh);
  };
  const children = (old, fresh) => {
    const keyed = new Map([...old.children].map(one => [keyOf(one), one]));
    const wantedKeys = new Set([...fresh.children].map(keyOf));
    let at = old.firstChild;
    for (const one of [...fresh.childNodes]) {
      // What will be moved is not overwritten; what is gone goes first.
      while (at && keyOf(at) && !wantedKeys.has(keyOf(at))) { const gone = at; at = at.nextSibling; gone.remove(); }
      const key = keyOf(one), match = key && keyed.get(key);
      if (match) {
        keyed.delete(key);
        if (match === at) at = at.nextSibling; else old.insertBefore(match, at);
        sync(match, one);
        continue;
      }
      if (at && !keyOf(at) && !key) { const here = at; at = at.nextSibling; sync(here, one); } else old.insertBefore(one, at);
    }
    while (at) { const gone = at; at = at.nextSibling; gone.remove(); }
  };

  const show = answer => {
    since = Date.now();
    problem = answer.problem ?? '';
    if (!problem) {
      const focused = document.activeElement, selected = getSelection();
      if (answer.title) document.title = answer.title;
      for (const part of document.querySelectorAll('[data-live]')) {
        const html = answer.parts[part.dataset.live];
        if (html === undefined || (!selected.isCollapsed && part.contains(selected.anchorNode))) continue;
        const fresh = document.createElement('template');
        fresh.innerHTML = html; // made by the server, where everything was escaped
        children(part, fresh.content);
      }
      if (focused !== document.activeElement && focused?.isConnected) focused.focus({ preventScroll: true });
      said.classList.remove('came');
      requestAnimationFrame(() => said.classList.add('came'));
      document.dispatchEvent(new Event('streamtasks:changed'));
    }
    state();
  };

  let notice = null;
  const warn = text => {
    if (!text) { notice?.remove(); notice = null; return; }
    if (!notice) {
      notice = document.createElement('p');
      notice.className = 'concern warn stale';
      notice.setAttribute('role', 'status');
      document.getElementById('main').append(notice);
    }
    if (notice.textContent !== text) notice.textContent = text;
  };
  const state = () => {
    const isStale = wanted && (Date.now() - since > STALE_MS);
    said.hidden = toggle.hidden = false;
    toggle.textContent = wanted ? 'Pause updates' : 'Resume updates';
    said.classList.toggle('good', wanted && !isStale && !problem);
    said.classList.toggle('warn', isStale || !!problem);
    const text = !wanted ? 'Updates are paused' : isStale || problem ? 'Stale' : 'Live';
    if (said.textContent !== text) said.textContent = text;
    const at = new Date(since).toLocaleTimeString();
    warn(problem || (isStale ? `No answer since ${at}: what is shown is of then.` : ''));
  };

  const ask = async () => {
    try {
      const response = await fetch(address('poll'), { headers: { Accept: 'application/json' }, redirect: 'error', signal: AbortSignal.timeout(10000) });
      if (response.ok) show(await response.json());
      else if (response.status < 500) show({ problem: 'You may no longer see this page, or it is gone. Reload it.' });
    } catch { /* asked again; `state` says for how long there was no answer */ }
    if (wanted && !document.hidden && polls) timer = setTimeout(ask, POLL_MS);
  };
  const stop = () => { source?.close(); source = null; clearTimeout(timer); };
  // An answer to others may be a second old: older than a page that has just come.
  const start = (isNew = false) => {
    stop();
    if (!wanted || document.hidden) return;
    if (polls) { timer = setTimeout(ask, isNew ? POLL_MS : 0); return; }
    source = new EventSource(address('events'));
    source.onmessage = event => show(JSON.parse(event.data));
    source.addEventListener('beat', () => { since = Date.now(); state(); });
    source.addEventListener('full', () => { polls = true; start(true); });
    source.onerror = () => { if (source?.readyState === EventSource.CLOSED) { polls = true; start(); } };
  };
  toggle.addEventListener('click', () => {
    wanted = !wanted;
    stored(wanted ? '' : '1');
    since = Date.now();
    start();
    state();
  });
  document.addEventListener('visibilitychange', () => { if (!document.hidden) since = Date.now(); start(); });
  addEventListener('pagehide', stop);
  addEventListener('pageshow', event => { if (event.persisted) start(); });
  setInterval(() => { if (!document.hidden) state(); }, 1000);
  start(true);
  state();
})();
