/* A site opened from a folder can't search: browsers start no worker from a file. Say so in the
   search field, with the command that serves the site. */
"use strict";

if (location.protocol === "file:") {
  for (const field of document.querySelectorAll("[data-md-component=search-query]")) {
    field.placeholder = "To search, run: python3 -m course docs";
    field.disabled = true;
  }
}
