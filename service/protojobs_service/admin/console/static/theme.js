// Runs before the page is drawn, so that it is never drawn in the wrong theme.
"use strict";

(() => {
  try {
    const theme = localStorage.getItem("protojobs.theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch {
    // Storage may be forbidden; the theme of the system stays.
  }
})();
