// Links from one view of the page to another are opened here, without loading it anew.

/** Call `follow(link)` for each that is pressed; what is to open in another tab or window is the browser's. */
export function listen(follow) {
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[data-route]");
    if (!link || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    follow(link);
  });
}
