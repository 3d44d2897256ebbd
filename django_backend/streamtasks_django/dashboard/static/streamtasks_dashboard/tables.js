// Puts the name of its column on each cell, for phones, where each row is a card (see dashboard.css).
'use strict';
(() => {
  const label = () => {
    for (const table of document.querySelectorAll('.wide > table')) {
      const names = [...table.querySelectorAll('thead th')].map(one => one.textContent.trim());
      if (!names.length) continue;
      table.classList.add('labelled');
      for (const row of table.tBodies[0]?.rows ?? []) {
        [...row.cells].forEach((cell, place) => {
          if (cell.tagName === 'TD' && names[place]) cell.dataset.label = names[place];
        });
      }
    }
  };
  label();
  document.addEventListener('streamtasks:changed', label);
  // On a phone the present page may be outside the strip.
  const strip = document.querySelector('.pages ul');
  const present = strip?.querySelector('[aria-current]');
  if (present) strip.scrollLeft = present.offsetLeft - strip.clientWidth / 2 + present.clientWidth / 2;
})();
