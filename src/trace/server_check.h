// What a replay on a real server finds out before it begins.
#pragma once

#include <functional>
#include <string>

#include "trace/filler_words.h"
#include "trace/trace.h"

namespace throng::trace {

struct ServerCheck {
  FillerWords words;
  int longest_prompt = 0;  // tokens recorded of the longest call, prompt and answer together
  int longest_output = 0;
  int counted_prompt = 0;  // tokens that the server counted in it
  int counted_output = 0;
};

// Learns the server's words (FillerWords) and asks it for the longest call of the first `steps` steps (0:
// all), so that a server whose context is too short refuses at the start. Throws kExhausted, naming that
// call; and what its backend fails with, once, as nothing is asked again yet.
ServerCheck CheckServer(const std::string& llm, const Trace& trace, sim::Step steps,
                        const std::function<void(const std::string&)>& on_progress);

}  // namespace throng::trace
