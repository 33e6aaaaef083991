// Any bytes as a trace are refused with an Error or make a world that runs.

#include <algorithm>
#include <string_view>

#include "base/check.h"
#include "base/error.h"
#include "llm/backends/fake.h"
#include "sim/run/run.h"
#include "trace/trace.h"
#include "trace/trace_world.h"

using namespace throng;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  trace::Trace trace;
  try {
    trace = trace::ParseTrace({reinterpret_cast<const char*>(data), size}, "trace");
  } catch (const Error&) {
    return 0;
  }
  const uint64_t num_calls = trace.NumCalls();
  const sim::Step num_steps = trace.num_steps;
  const bool small = trace.agents.size() * static_cast<uint64_t>(std::min(num_steps, 1000)) <= 20000;
  const auto world = trace::MakeTraceWorld(std::move(trace), 4);
  if (!small) return 0;
  llm::FakeLlm backend;
  sim::RunOptions options;
  options.steps = std::min(num_steps, 1000);
  const sim::RunResult result = sim::RunWorld(*world, backend, options);
  THRONG_CHECK(result.stats.calls <= num_calls);
  THRONG_CHECK(num_steps > options.steps || result.stats.calls == num_calls);
  return 0;
}
