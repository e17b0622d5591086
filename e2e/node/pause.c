/*
 * First process of a pod: it holds the pod's namespaces open, buries orphans, and goes when it is told to.
 * With an argument it ends at once, which shows that a container starts at all.
 */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void go(int signal) {
  (void)signal;
  _exit(0);
}

static void bury(int signal) {
  (void)signal;
  while (waitpid(-1, NULL, WNOHANG) > 0) {
  }
}

int main(int argc, char **argv) {
  (void)argv;
  if (argc > 1) return 0;
  signal(SIGTERM, go);
  signal(SIGINT, go);
  signal(SIGCHLD, bury);
  for (;;) pause();
}
