// Goes on from frontchannel.html as soon as every frame in it has loaded.
addEventListener("load", () => {
  location.replace(document.getElementById("continue").href);
});
