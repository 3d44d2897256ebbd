// Keeps every .task-progress of a page up to date: by server-sent events where there are some, else by asking.
(() => {
  "use strict";
  const POLL_MS = 1000;

  function show(box, task) {
    const bar = box.querySelector("progress");
    if (task.is_finished) { bar.max = 1; bar.value = 1; }
    else if (task.total) { bar.max = task.total; bar.value = task.done || 0; }
    else { bar.removeAttribute("value"); }
    box.querySelector(".task-progress-state").textContent = task.state;
    box.querySelector(".task-progress-message").textContent = task.message;
    if (task.is_finished) {
      box.dataset.finished = task.is_successful ? "successful" : "failed";
      box.dispatchEvent(new CustomEvent("task-finished", { bubbles: true, detail: task }));
    }
    return task.is_finished;
  }

  function poll(box) {
    const ask = async () => {
      if (!document.hidden) {
        try {
          const answer = await fetch(box.dataset.address, { headers: { Accept: "application/json" } });
          if (answer.status === 403) return;
          if (answer.ok && show(box, await answer.json())) return;
        } catch { /* the network is away: ask again */ }
      }
      setTimeout(ask, POLL_MS);
    };
    ask();
  }

  function listen(box) {
    const source = new EventSource(box.dataset.events);
    source.onmessage = (event) => { if (show(box, JSON.parse(event.data))) source.close(); };
    source.onerror = () => { if (source.readyState === EventSource.CLOSED) poll(box); };
  }

  function start() {
    for (const box of document.querySelectorAll(".task-progress:not([data-started])")) {
      box.dataset.started = "yes";
      if (box.dataset.events && window.EventSource) listen(box); else poll(box);
    }
  }
  start();
})();
