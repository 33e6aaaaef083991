// `throng bench latency`: the latency model of a model on this machine.

#include <fmt/format.h>

#include <memory>

#include "cli/cli11.h"
#include "cli/commands.h"
#include "cli/flags/local_flags.h"
#include "studies/server_preset.h"

namespace throng::cli {

void AddBenchLatency(CLI::App& bench) {
  CLI::App* command = bench.add_subcommand(
      "latency",
      "Measure a model on this machine, and print the --llm that predicts its times (docs/latency.md)");
  const auto options = std::make_shared<engine::LocalOptions>();
  AddLocalFlags(*command, *options);
  command->footer(
      "Times passes of 1 to 24 sequences that decode, and of prompts of 32 to 256 tokens. Nothing else "
      "should "
      "run.\n"
      "Example:\n"
      "  throng bench latency -m model.gguf");
  command->callback([options] { fmt::print("{}\n", studies::MeasureServer(*options)); });
}

}  // namespace throng::cli
