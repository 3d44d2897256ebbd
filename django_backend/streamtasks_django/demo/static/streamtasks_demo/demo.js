// The page's only script: sends what buttons say, keeps the table true while something is unfinished.

const POLL_MS = 500;
const FIRST_POLL_MS = 120;
const RETRY_MS = 2000;

const { enqueue: ENQUEUE, states: STATES, shown } = document.body.dataset;
const MOST_SHOWN = Number(shown);
const table = document.querySelector("table");
const trouble = document.getElementById("trouble");
const summary = document.getElementById("summary");
const announcement = document.getElementById("announcement");

/** Tasks in the table by id, oldest first: what the server said, and the elements that show it. */
const tasks = new Map();

// -- small helpers ---------------------------------------------------------------------------------

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return svg;
}

function duration(ms) {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(ms < 10000 ? 2 : 1)} s`;
}

function clock(ms) {
  const time = new Date(ms);
  const two = (number) => String(number).padStart(2, "0");
  const seconds = `${two(time.getSeconds())}.${String(time.getMilliseconds()).padStart(3, "0")}`;
  return `${two(time.getHours())}:${two(time.getMinutes())}:${seconds}`;
}

const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

// -- one task --------------------------------------------------------------------------------------

function addTask(task) {
  const toggle = element("button", { type: "button", className: "toggle" },
    icon("chevron"), element("b", { textContent: task.name }), element("small", { textContent: task.short }));
  const cells = {
    task: element("td", {}, toggle),
    state: element("td"),
    progress: element("td"),
    attempts: element("td", { className: "number more" }),
    worker: element("td", { className: "more" }),
    waited: element("td", { className: "number more" }),
    ran: element("td", { className: "number most" }),
  };
  const details = element("tr", { className: "details", hidden: true, id: `details-${task.id}` });
  const body = element("tbody", { className: "task" }, element("tr", {}, ...Object.values(cells)), details);
  body.dataset.name = task.name;
  toggle.setAttribute("aria-expanded", "false");
  toggle.setAttribute("aria-controls", details.id);
  const shown = { task, body, cells, details };
  toggle.addEventListener("click", () => {
    details.hidden = !details.hidden;
    toggle.setAttribute("aria-expanded", String(!details.hidden));
    showDetails(shown);
  });
  table.querySelector("thead").after(body);
  tasks.set(task.id, shown);
  for (const [id, oldest] of tasks) {
    if (tasks.size <= MOST_SHOWN) break;
    oldest.body.remove();
    tasks.delete(id);
  }
  showTask(shown);
}

function updateTask(task) {
  const shown = tasks.get(task.id);
  if (!shown) return;
  task.progress ??= shown.task.progress; // forgotten by the server once the task is finished
  shown.task = task;
  showTask(shown);
}

function showTask(shown) {
  const { task, body, cells } = shown;
  body.dataset.state = task.state;
  showState(cells.state, task);
  showProgress(cells.progress, task);
  cells.attempts.textContent = task.attempts || "";
  cells.attempts.classList.toggle("again", task.attempts > 1);
  cells.worker.textContent = task.workers.length ? `child ${task.workers.join(" → ")}` : "";
  cells.waited.textContent = waited(task);
  cells.ran.textContent = ran(task);
  showDetails(shown);
}

function showState(cell, task) {
  const words = task.state === "delayed" && task.due > task.now
    ? `delayed, ${((task.due - task.now) / 1000).toFixed(1)} s`
    : task.state;
  const before = cell.firstChild;
  if (before && before.classList.contains(task.state)) {
    before.lastChild.textContent = words; // the same icon goes on turning
  } else {
    cell.replaceChildren(element("span", { className: `state ${task.state}` }, icon(task.state), element("span", { textContent: words })));
  }
}

function showProgress(cell, task) {
  if (!task.progress) {
    cell.replaceChildren();
    return;
  }
  const { done, total } = task.progress;
  if (!cell.firstChild) {
    const bar = element("progress");
    bar.setAttribute("aria-label", `Progress of ${task.name}`);
    cell.append(element("div", { className: "bar" }, bar, element("span")));
  }
  const [bar, text] = cell.firstChild.children;
  bar.max = total;
  bar.value = task.state === "successful" ? total : done;
  text.textContent = `${bar.value} of ${total}`;
  cell.firstChild.classList.toggle("done", task.state === "successful");
}

function waited(task) {
  if (!task.started) return "";
  return task.due ? `${duration(task.started - task.due)} late` : duration(task.started - task.enqueued);
}

function ran(task) {
  if (!task.started) return "";
  return duration((task.ended || task.now) - task.started);
}

function showDetails({ task, details }) {
  if (details.hidden) return;
  const facts = [["Call", element("code", { textContent: task.call })], ["Id", element("code", { textContent: task.id })]];
  if (task.enqueued) facts.push(["Enqueued", clock(task.enqueued)]);
  if (task.due) facts.push(["Due", clock(task.due)]);
  if (task.started) facts.push(["Started", `${clock(task.started)}, ${waited(task)}${task.due ? "" : " later"}`]);
  if (task.attempts > 1) facts.push(["Last attempt", `${clock(task.attempted)}, attempt ${task.attempts}`]);
  if (task.ended) facts.push(["Finished", `${clock(task.ended)}, ${duration(task.ended - task.started)} later`]);
  if (task.worker_ids.length) facts.push([task.attempts > 1 ? "Workers" : "Worker", element("code", { textContent: task.worker_ids.join(", ") })]);
  if (task.result !== null) facts.push(["Result", element("pre", { textContent: task.result })]);
  if (task.errors.length) {
    const last = task.errors.length - 1;
    const label = task.state === "failed" ? "Error" : "Earlier error";
    facts.push([last ? `${label}s` : label, task.errors.map((error) => element("pre", { className: "error", textContent: error.traceback }))]);
  }
  const list = element("dl");
  for (const [name, value] of facts) {
    const values = Array.isArray(value) ? value : [value];
    const className = values[0].tagName === "PRE" ? "wide" : "";
    list.append(element("dt", { textContent: name }), element("dd", { className }, ...values));
  }
  const cell = element("td", { colSpan: 7 }, list);
  // A selection in there outlives a poll that brought nothing new.
  if (details.textContent !== cell.textContent) details.replaceChildren(cell);
}

// -- all of them -----------------------------------------------------------------------------------

function unfinished() {
  return [...tasks.values()].filter(({ task }) => !task.finished).map(({ task }) => task.id);
}

function counts() {
  const byState = {};
  for (const { task } of tasks.values()) byState[task.state] = (byState[task.state] || 0) + 1;
  return ["successful", "failed", "running", "waiting", "delayed"]
    .filter((state) => byState[state]).map((state) => `${byState[state]} ${state}`).join(", ");
}

function showSummary() {
  table.hidden = !tasks.size;
  document.getElementById("empty").hidden = Boolean(tasks.size);
  summary.textContent = tasks.size ? `${tasks.size === MOST_SHOWN ? "the latest " : ""}${plural(tasks.size, "task")}: ${counts()}` : "";
}

function showTrouble(words) {
  trouble.textContent = words;
  trouble.hidden = !words;
}

// -- talking to the server -------------------------------------------------------------------------

async function ask(url, options) {
  let response;
  try {
    response = await fetch(url, { ...options, headers: { Accept: "application/json" } });
  } catch {
    throw new Error("The demo does not answer. Was it stopped?");
  }
  const isJson = (response.headers.get("Content-Type") || "").startsWith("application/json");
  const answer = isJson ? await response.json() : { error: `The demo answered with status ${response.status}.` };
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

let timer = 0;
let asking = false;

/** Ask again later, unless nobody looks or there is nothing to learn. */
function pollIn(ms) {
  clearTimeout(timer);
  if (!document.hidden && unfinished().length) timer = setTimeout(poll, ms);
}

async function poll() {
  if (asking) return;
  asking = true;
  let next = POLL_MS;
  try {
    const answer = await ask(`${STATES}?ids=${unfinished().join(",")}`);
    answer.tasks.forEach(updateTask);
    showTrouble("");
    showSummary();
    if (!unfinished().length) announcement.textContent = `All finished: ${counts()}.`;
  } catch (error) {
    showTrouble(error.message);
    next = RETRY_MS;
  } finally {
    asking = false;
  }
  pollIn(next);
}

/** Show what was enqueued before this page was loaded. */
async function load() {
  try {
    (await ask(STATES)).tasks.forEach(addTask);
  } catch (error) {
    showTrouble(error.message);
  }
  showSummary();
  pollIn(POLL_MS);
}

const loaded = load();

async function enqueue(event) {
  event.preventDefault();
  const body = new FormData(event.target);
  await loaded; // older tasks go below newer ones, and none is added twice
  try {
    const answer = await ask(ENQUEUE, { method: "POST", body });
    answer.tasks.forEach(addTask);
    showTrouble("");
    showSummary();
    announcement.textContent = `${plural(answer.tasks.length, "task")} enqueued.`;
    pollIn(FIRST_POLL_MS);
  } catch (error) {
    showTrouble(error.message);
  }
}

for (const form of document.forms) form.addEventListener("submit", enqueue);
document.addEventListener("visibilitychange", () => pollIn(0));
