// The backends that a user can name on a command line.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "llm/llm.h"

namespace throng::llm {

// "fake[:OPTIONS]", "latency[:OPTIONS]", "http://HOST:PORT[/PATH][?OPTIONS]" or https; OPTIONS are key=value
// pairs (fake.h, latency.h, http.h). Higher floors make the others: "local", the engine in this process, and
// "replay:FILE", a journal. Throws kInvalid naming what is allowed, and what the backends throw.
std::unique_ptr<Llm> MakeBackend(const std::string& spec);

// Whether that backend keeps a virtual clock and needs no prompts; false if the specification names no
// backend.
bool IsVirtualBackend(std::string_view spec);
// Whether that backend asks servers over the network, in wall time.
bool IsServerBackend(std::string_view spec);
std::string VirtualBackendForms();  // for messages: "fake[:key=value,...], ..."

// For --help, a line per backend.
std::string BackendHelp();

}  // namespace throng::llm
