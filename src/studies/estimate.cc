#include "studies/estimate.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "app/limits.h"
#include "app/run_options.h"
#include "app/scenario.h"
#include "base/error.h"
#include "journal/llm/journaled_llm.h"
#include "journal/read/reader.h"
#include "journal/store/scratch_journal.h"
#include "llm/backends/fake.h"

namespace throng::studies {

namespace {

constexpr sim::Step kDaySeconds = 24 * 3600;

struct Sample {
  std::vector<journal::UsageSums> functions;
  double agent_steps = 0;
  std::string from;
};

Sample SampleOf(const journal::Journal& journal, uint32_t agents, sim::Step steps) {
  Sample sample;
  sample.functions = journal::Reader(journal).Functions();
  sample.agent_steps = static_cast<double>(agents) * steps;
  return sample;
}

Sample ReadSample(const std::string& path) {
  const std::unique_ptr<journal::Journal> journal = journal::Journal::OpenToRead(path);
  uint32_t agents = 0;  // stays 0 if the manifest is damaged
  const std::string& text = journal->ManifestValue(journal::JournalKeys::kAgents);
  std::from_chars(text.data(), text.data() + text.size(), agents);
  const sim::Step steps = journal->NumSteps();
  if (agents == 0 || steps == 0) {
    throw MakeError(ErrorCode::kInvalid, "--sample {}: no step of it is complete", path);
  }
  Sample sample = SampleOf(*journal, agents, steps);
  sample.from = fmt::format("journal {}, {} agents for {} steps", path, agents, steps);
  return sample;
}

// Prompts are real, answers are not: how much people talk, and how long their answers are, is a guess.
Sample MakeSample(app::Simulation simulation, uint32_t agents, sim::Step steps) {
  simulation.agents = std::min(agents, kSampleAgents);
  simulation.until.clear();
  simulation.embed.clear();  // what is recalled is about as long either way
  const app::Scenario scenario = app::LoadScenario(simulation);
  simulation.steps = std::min(steps, kDaySeconds / std::max(1, scenario.seconds_per_step));
  llm::FakeLlm fake;
  journal::ScratchJournal journal;
  journal::JournaledLlm llm(fake, journal.Get());
  sim::RunWorld(*scenario.world, llm, app::MakeRunOptions(simulation, scenario));
  const uint32_t sampled = scenario.world->NumAgents();  // more than asked for where agents are born
  Sample sample = SampleOf(journal.Get(), sampled, simulation.steps);
  sample.from =
      fmt::format("made-up answers, {} agents for {} steps, 4 bytes to a token", sampled, simulation.steps);
  return sample;
}

}  // namespace

void EstimateAndReport(const app::Simulation& simulation, const std::string& sample_path, bool json) {
  const app::Scenario scenario = app::LoadScenario(simulation);
  const sim::RunOptions run = app::MakeRunOptions(simulation, scenario);
  const uint32_t agents = scenario.world->NumAgents();
  const Sample sample =
      sample_path.empty() ? MakeSample(simulation, agents, run.steps) : ReadSample(sample_path);
  const double scale = static_cast<double>(agents) * run.steps / sample.agent_steps;
  const auto scaled = [&](int64_t count) {
    return static_cast<uint64_t>(static_cast<double>(count) * scale + 0.5);
  };
  uint64_t calls = 0;
  llm::TokensUsed tokens;
  nlohmann::ordered_json functions = nlohmann::ordered_json::array();
  if (!json) {
    fmt::print("{} agents, {} steps; sample: {}\n", agents, run.steps, sample.from);
    fmt::print("{:<14} {:>10} {:>14} {:>14}\n", "function", "calls", "prompt tokens", "output tokens");
  }
  const auto print_row = [](const std::string& name, uint64_t n, uint64_t prompt, uint64_t output) {
    fmt::print("{:<14} {:>10} {:>14} {:>14}\n", name, n, prompt, output);
  };
  for (const journal::UsageSums& function : sample.functions) {
    const uint64_t n = scaled(function.calls);
    const llm::TokensUsed used = {scaled(function.prompt_tokens), scaled(function.output_tokens)};
    calls += n;
    tokens.prompt += used.prompt;
    tokens.output += used.output;
    functions.push_back({{"function", function.name},
                         {"llm_calls", n},
                         {"prompt_tokens", used.prompt},
                         {"output_tokens", used.output}});
    if (!json) print_row(function.name, n, used.prompt, used.output);
  }
  const double cost = llm::CostOf(tokens, app::ParsePrice(simulation.limits.price));
  if (!json) {
    print_row("all", calls, tokens.prompt, tokens.output);
    if (!simulation.limits.price.empty()) {
      fmt::print("cost           {:.4f}, at {} for a million tokens\n", cost, simulation.limits.price);
    }
    return;
  }
  nlohmann::ordered_json report = {{"dry_run", true},
                                   {"agents", agents},
                                   {"steps", run.steps},
                                   {"sample", sample.from},
                                   {"llm_calls", calls},
                                   {"prompt_tokens", tokens.prompt},
                                   {"output_tokens", tokens.output},
                                   {"functions", functions}};
  if (!simulation.limits.price.empty()) report["cost"] = cost;
  fmt::print("{}\n", report.dump(2));
}

}  // namespace throng::studies
