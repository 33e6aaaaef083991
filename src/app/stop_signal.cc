#include "app/stop_signal.h"

#include <csignal>

namespace throng::app {

namespace {

std::atomic<bool> g_stop = false;

void OnSignal(int) { g_stop = true; }

}  // namespace

const std::atomic<bool>& StopOnSignal() {
  struct sigaction action = {};
  action.sa_handler = OnSignal;
  action.sa_flags = SA_RESETHAND;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  return g_stop;
}

}  // namespace throng::app
