// Follows a start as it happens. Without this script the page reloads itself instead.
(function () {
  "use strict";
  var page = document.getElementById("progress");
  if (!page || !window.EventSource) { return; }
  var bar = document.getElementById("progress-bar");
  var message = document.getElementById("progress-message");
  var log = document.getElementById("progress-log");
  var events = new EventSource(page.dataset.events);

  function finish() { events.close(); }

  events.onmessage = function (event) {
    var data = JSON.parse(event.data);
    if (typeof data.progress === "number") { bar.value = data.progress; }
    if (data.message) {
      message.textContent = data.message;
      document.getElementById("progress-details").hidden = false;
      var line = document.createElement("li");
      line.textContent = data.message;
      log.appendChild(line);
    }
    if (data.ready) {
      finish();
      window.location.replace(page.dataset.ready);
    } else if (data.failed) {
      finish();
      message.className = "message bad";
      bar.hidden = true;
      document.getElementById("progress-retry").hidden = false;
      var cancel = document.getElementById("progress-cancel");
      if (cancel) { cancel.hidden = true; }
    }
  };
  // The stream ends with the hub; a moment later the page itself knows more.
  events.onerror = function () {
    if (events.readyState === EventSource.CLOSED) {
      setTimeout(function () { window.location.reload(); }, 2000);
    }
  };
})();
