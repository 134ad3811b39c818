// Where the service is: at the root of its address, or below a path when another application mounts it.

/** The path of the page's own address, which ends with "/". */
export const ROOT = document.querySelector("meta[name=root]").content;

/** Return where a path of the service is; what is no path, as of a photo that was just chosen, stays. */
export const below = (path) => (path.startsWith("/") ? ROOT + path.slice(1) : path);
