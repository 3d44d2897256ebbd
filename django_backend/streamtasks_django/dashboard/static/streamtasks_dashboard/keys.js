// Single keys: the sheet of `?` lists them, and its box turns them off.
'use strict';
(() => {
  const sheet = document.getElementById('keys'), opener = document.getElementById('keys-open');
  const box = document.getElementById('keys-on'), STORED = 'streamtasks-keys-off';
  const remembered = () => { try { return localStorage.getItem(STORED); } catch { return null; } };
  let before = '', since = 0;
  box.checked = !remembered();
  box.addEventListener('change', () => {
    try { box.checked ? localStorage.removeItem(STORED) : localStorage.setItem(STORED, '1'); } catch { /* not kept then */ }
  });
  opener.hidden = false;
  opener.addEventListener('click', () => sheet.showModal());

  const find = selector => document.querySelector(`main ${selector}`);
  const shown = all => [...all].filter(one => one.offsetParent !== null);
  const step = by => {
    const rows = shown(document.querySelectorAll('main :is(tbody th a, .concern a, .card h2 a, .card li a, .rows a)'));
    if (!rows.length) return;
    const at = rows.indexOf(document.activeElement);
    const next = rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(Math.max(at + by, 0), rows.length - 1)];
    next.focus();
    next.scrollIntoView({ block: 'nearest' });
  };
  const ACTION = 'form[method=post]:not(.off) :is(input:not([type=hidden]), select, textarea, button), .actions a';
  const KEYS = {
    '?': () => sheet.showModal(),
    '/': () => (find('form.filter input:not([type=hidden])') ?? find('form :is(input:not([type=hidden]), textarea)'))?.focus(),
    j: () => step(1),
    k: () => step(-1),
    a: () => shown(document.querySelectorAll(`main :is(${ACTION})`))[0]?.focus(),
    n: () => find('a[rel=next]')?.click(),
    u: () => document.querySelector('.pages [aria-current]')?.click(),
    p: () => document.getElementById('live-toggle').click(),
  };
  document.addEventListener('keydown', event => {
    const typed = event.target.closest?.('input:not([type=checkbox], [type=radio]), select, textarea, [contenteditable]');
    if (event.key === 'Escape' && typed) typed.blur();
    if (typed || sheet.open || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (!box.checked && event.key !== '?') return;
    const after = before === 'g' && Date.now() - since < 1500;
    before = event.key;
    since = Date.now();
    const go = after ? document.querySelector(`.pages a[data-key="${CSS.escape(event.key)}"]`) : null;
    const act = go ? () => go.click() : Object.hasOwn(KEYS, event.key) ? KEYS[event.key] : null;
    if (!act) return;
    event.preventDefault();
    before = '';
    act();
  });
})();
