// What the endpoints of one server share.
#pragma once

#include <atomic>

#include "base/error.h"
#include "engine/local_model.h"
#include "engine/metrics.h"
#include "serve/responses/response_store.h"
#include "serve/server.h"

namespace throng::serve {

struct Context {
  const ServerOptions options;
  engine::LocalModel* const model;  // null: the server only shows a run
  engine::MetricsRegistry* const metrics;

  std::atomic<int> in_flight{0};      // requests that the engine has
  std::atomic<bool> stopping{false};  // set once: no new request gets in
  ResponseStore responses{};

  // Throws kUnavailable if there is no model.
  engine::LocalModel& Model() const {
    if (model != nullptr) return *model;
    throw MakeError(ErrorCode::kUnavailable, "server: it was started to show a run, without a model");
  }
};

}  // namespace throng::serve
