// `throng bench server`: the latency model of a server over the network.

#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "base/atomic_file.h"
#include "cli/cli11.h"
#include "cli/commands.h"
#include "cli/progress_line.h"
#include "studies/server_probe.h"

namespace throng::cli {
namespace {

struct Options {
  studies::ProbeFlags probe;
  std::string out;
  bool json = false;
};

void Run(Options options) {
  ProgressLine line(/*quiet=*/false);
  options.probe.on_progress = [&](const std::string& text) { line.ShowRarely(text); };
  const nlohmann::ordered_json fit = studies::ProbeServer(options.probe);
  line.Clear();
  if (!options.out.empty()) {
    AtomicFile file(options.out);
    const std::string text = fit.dump(2) + "\n";
    file.Write(text.data(), text.size());
    file.Commit();
  }
  if (options.json) {
    fmt::print("{}\n", fit.dump(2));
  } else {
    fmt::print("latency:{}\n", fit["latency"].get<std::string>());
  }
}

}  // namespace

void AddBenchServer(CLI::App& bench) {
  CLI::App* command = bench.add_subcommand(
      "server", "Time a server's passes, and print the --llm that predicts its times (docs/latency.md)");
  const auto options = std::make_shared<Options>();
  studies::ProbeFlags& probe = options->probe;
  command->add_option("url", probe.url, "http://HOST:PORT[/v1][?model=NAME]")->required();
  command
      ->add_option("--batch", probe.batch,
                   "Most sequences that the server runs at once (llama-server: --parallel)")
      ->check(CLI::Range(1, 512))
      ->capture_default_str();
  command
      ->add_option("--chunk", probe.chunk,
                   "Most tokens of one of its passes (llama-server: --batch-size, 2048)")
      ->check(CLI::Range(16, 1 << 20))
      ->capture_default_str();
  command->add_option("--kv-tokens", probe.kv_tokens, "Tokens for which its cache has room")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 40))
      ->capture_default_str();
  command->add_flag("!--prompts-alone", probe.mixed, "Its passes have prompts or decode, not both");
  command->add_option("--longest-prompt", probe.longest_prompt, "Tokens of the longest prompt that is timed")
      ->check(CLI::Range(64, 1 << 20))
      ->capture_default_str();
  command->add_option("--out", options->out, "File for --preset, and for --llm latency:preset=FILE");
  command->add_flag("--json", options->json, "Print one JSON object");
  command->footer(
      "Nobody else should use the server meanwhile.\n"
      "Examples:\n"
      "  throng bench server http://localhost:8000 --out server.json\n"
      "  throng bench server http://localhost:8080 --batch 16 --chunk 2048    # llama-server --parallel 16\n"
      "  throng replay day.jsonl.gz --mode all --preset server.json");
  command->callback([options] { Run(*options); });
}

}  // namespace throng::cli
