// What pages do beside links and forms: refresh themselves, ask before changes, tell time, listen to keys.
// Everything works without it, and nothing here makes markup of text.
"use strict";

const REFRESH_MS = 2000;
const CHORD_MS = 1500;
const byId = (id) => document.getElementById(id);
const base = document.body.dataset.base.replace(/\/$/, "");

const kept = {
  get: (name) => { try { return localStorage.getItem(`protojobs.${name}`); } catch { return null; } },
  set: (name, value) => { try { localStorage.setItem(`protojobs.${name}`, value); } catch { /* it lasts for this page */ } },
};

// ---- time

const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const near = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit" });
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "always", style: "narrow" });
const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

function ago(at) {
  const seconds = Math.round((at - Date.now()) / 1000);
  if (seconds === 0) return "now";
  const [unit, length] = UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? UNITS[3];
  return relative.format(Math.trunc(seconds / length), unit);
}

function tellZone() {
  const { timeZone } = exact.resolvedOptions();
  byId("zone").textContent = timeZone === "UTC" ? timeZone : `${timeZone}; UTC is in their titles`;
}

function tellTime(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    const utc = time.dateTime.replace("T", " ").replace("Z", " UTC");
    time.textContent = time.classList.contains("ago") ? ago(at) : near.format(at);
    time.title = `${exact.format(at)} · ${utc}`;
  }
}

// ---- the live view

const region = () => byId("live");
let live = kept.get("live") !== "off";
let answered = Date.now();

function showLive(lost = false) {
  const button = byId("live-switch");
  button.hidden = !region()?.hasAttribute("data-hx-get");
  button.setAttribute("aria-pressed", String(live));
  button.classList.toggle("lost", lost);
  button.title = live ? "Pause the live view (p)" : "Go on with the live view (p)";
  byId("live-word").textContent = lost ? `No answer since ${clock.format(answered)}` : live ? "Live" : "Paused";
}

function switchLive() {
  live = !live;
  kept.set("live", live ? "on" : "off");
  showLive();
  refresh();
}

// Nothing moves under the hand of somebody who chooses, writes or reads aloud.
function isBusy() {
  const here = region();
  const focus = document.activeElement;
  return document.hidden || document.querySelector("dialog[open]") !== null || here.querySelector("input[name=id]:checked") !== null
    || (here.contains(focus) && focus.matches("input, textarea, button, summary"))
    || (!getSelection().isCollapsed && here.contains(getSelection().anchorNode));
}

function refresh() {
  if (live && region()?.hasAttribute("data-hx-get") && !isBusy()) htmx.trigger(region(), "live");
}

// An answer that is no such page replaces nothing. Where the session has ended, htmx follows the server to the log-in.
document.addEventListener("htmx:after:request", (event) => {
  const { response, text } = event.detail.ctx;
  if (response.headers.has("HX-Redirect")) return;
  if (response.status < 400 && text.includes('id="live"')) {
    answered = Date.now();
    return showLive();
  }
  event.preventDefault();
  showLive(true);
});
document.addEventListener("htmx:error", () => showLive(true));
document.addEventListener("htmx:after:swap", () => {
  tellTime(document);
  showChosen();
  window.protojobsCharts.take();
});

// ---- asking before a change

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.confirm === undefined || form.dataset.sure) return;
  event.preventDefault();
  const dialog = byId("confirm");
  byId("confirm-text").textContent = form.dataset.confirm;
  byId("confirm-yes").textContent = form.querySelector("button").textContent;
  dialog.returnValue = "no";
  dialog.onclose = () => {
    if (dialog.returnValue !== "yes") return;
    form.dataset.sure = "yes";
    form.requestSubmit();
  };
  dialog.showModal();
});

// ---- choosing jobs

const picks = () => [...document.querySelectorAll("input[name=id][form=bulk]")];

function showChosen() {
  const all = byId("pick-all");
  if (!all) return;
  const chosen = picks().filter((box) => box.checked).length;
  byId("chosen").textContent = chosen;
  all.checked = chosen > 0 && chosen === picks().length;
  all.indeterminate = chosen > 0 && !all.checked;
  const any = chosen > 0 || document.querySelector("input[name=which][value=all]").checked;
  for (const button of document.querySelectorAll(".bulk button")) button.disabled = !any;
}

document.addEventListener("change", (event) => {
  if (event.target.id === "pick-all") for (const box of picks()) box.checked = event.target.checked;
  showChosen();
});

// ---- theme

const THEMES = ["auto", "light", "dark"];
let theme = THEMES.includes(kept.get("theme")) ? kept.get("theme") : "auto";

function showTheme() {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  byId("theme-word").textContent = theme;
  window.protojobsCharts.draw();
}

function switchTheme() {
  theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
  kept.set("theme", theme);
  showTheme();
}

// ---- keys

const PLACES = { q: "/", j: "/jobs", f: "/jobs?state=failed", s: "/schedules", w: "/workers" };
const KEYS = { "/": () => (byId("filter") ?? document.querySelector(".filter input"))?.focus(), "?": () => byId("help").showModal(), p: switchLive, t: switchTheme };
let chord = 0;

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, dialog")) return;
  const place = performance.now() < chord ? PLACES[event.key] : undefined;
  chord = event.key === "g" ? performance.now() + CHORD_MS : 0;
  if (place !== undefined) location.assign(base + place);
  else if (event.key in KEYS && event.key !== "g") {
    event.preventDefault();
    KEYS[event.key]();
  }
});

// ---- begin

for (const id of ["theme-switch", "help-switch"]) byId(id).hidden = false;
byId("theme-switch").addEventListener("click", switchTheme);
byId("help-switch").addEventListener("click", () => byId("help").showModal());
byId("live-switch").addEventListener("click", switchLive);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => window.protojobsCharts.draw());
// What was done is said once; a reload or a bookmark does not say it again.
if (byId("notice")) {
  const address = new URL(location.href);
  for (const name of ["done", "changed", "skipped"]) address.searchParams.delete(name);
  history.replaceState(null, "", address);
}
tellZone();
tellTime(document);
showLive();
showTheme();
showChosen();
setInterval(refresh, REFRESH_MS);
setInterval(() => { if (live && !isBusy()) tellTime(document); }, REFRESH_MS * 5);
