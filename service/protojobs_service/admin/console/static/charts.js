// Charts of the last minutes. What they draw is kept in the browser: each refresh of the live view brings one more point.
"use strict";

window.protojobsCharts = (() => {
  const KEPT_SECONDS = 15 * 60;
  const INK = { waiting: "--warn", running: "--info", done: "--good", failed: "--bad" };
  const DASHED = new Set(["running", "failed"]);
  const NAMES = ["waiting", "running", "done", "failed"];
  const plots = [];
  const number = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1, notation: "compact" });

  // A colour as the theme has it now; canvases know neither variables nor light-dark().
  function ink(name) {
    const probe = document.createElement("span");
    probe.className = "swatch";
    probe.hidden = true;
    document.body.append(probe);
    probe.style.color = `var(${name})`;
    const colour = getComputedStyle(probe).color;
    probe.remove();
    return colour;
  }

  function read(place) {
    try {
      return JSON.parse(sessionStorage.getItem(place)) ?? [];
    } catch {
      return [];
    }
  }

  // Keeps every pulse of the page, so that a queue has a past when its page is opened; returns what the page's charts show.
  function points() {
    for (const pulse of document.querySelectorAll("data.pulse")) keep(pulse);
    const shown = document.getElementById("pulse");
    return shown ? keep(shown) : [];
  }

  function keep(pulse) {
    const place = `protojobs.pulse.${document.body.dataset.base}.${pulse.dataset.scope}`;
    const at = Number(pulse.dataset.at);
    const series = read(place).filter((point) => point[0] > at - KEPT_SECONDS && point[0] < at);
    series.push([at, ...NAMES.map((name) => Number(pulse.dataset[name]))]);
    try {
      sessionStorage.setItem(place, JSON.stringify(series));
    } catch {
      // Charts begin anew on the next page.
    }
    return series;
  }

  const columns = (series, names) => [0, ...names.map((name) => NAMES.indexOf(name) + 1)].map((column) => series.map((point) => point[column]));

  function options(box, names) {
    const axis = { stroke: ink("--soft"), grid: { stroke: ink("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
    return {
      width: box.clientWidth,
      height: box.clientHeight,
      cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
      legend: { show: false },
      padding: [8, 30, 0, 0],
      scales: {
        x: { range: (_, first, last) => [Math.max(last - 300, Math.min(first, last - 60)), last] },
        y: { range: (_, __, most) => [0, Math.max(most * 1.15, 1)] },
      },
      axes: [
        { ...axis, grid: { show: false }, size: 24, space: 70, values: (_, ticks) => ticks.map((at) => new Date(at * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" })) },
        { ...axis, size: 44, space: 28, values: (_, ticks) => ticks.map((value) => number.format(value)) },
      ],
      series: [{}, ...names.map((name) => ({ stroke: ink(INK[name]), width: 1.75, dash: DASHED.has(name) ? [5, 3] : [], points: { show: false } }))],
    };
  }

  function draw() {
    for (const plot of plots.splice(0)) plot.destroy();
    const series = points();
    if (!series.length) return;
    for (const box of document.querySelectorAll("[data-chart]")) {
      const names = box.dataset.chart.split(" ");
      const plot = new uPlot(options(box, names), columns(series, names), box);
      plot.names = names;
      plots.push(plot);
    }
    tell(series);
  }

  function take() {
    const series = points();
    for (const plot of plots) plot.setData(columns(series, plot.names));
    if (series.length) tell(series);
  }

  function tell(series) {
    const last = series[series.length - 1];
    for (const now of document.querySelectorAll("[data-now]")) now.textContent = number.format(last[NAMES.indexOf(now.dataset.now) + 1]);
  }

  new ResizeObserver(() => {
    for (const plot of plots) {
      const box = plot.root.parentElement;
      if (box.clientWidth !== plot.width) plot.setSize({ width: box.clientWidth, height: box.clientHeight });
    }
  }).observe(document.documentElement);

  return { draw, take };
})();
