// What `throng serve --journal` shows of a run, and lets people ask it.
#pragma once

#include <string>

#include "app/record/manifest.h"
#include "engine/local_model.h"
#include "serve/server.h"

namespace throng::cli {

// `local` and `given`: the flags of the command, which go before the manifest's. may_change: whoever asks the
// server may let something happen in the run, pause it, answer for its people, and have its model answer.
serve::ShownRun ShowRun(const std::string& path, const engine::LocalOptions& local,
                        const app::GivenFlags& given, bool may_change);

}  // namespace throng::cli
