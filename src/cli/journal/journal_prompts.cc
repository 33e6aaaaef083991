// throng journal prompts: what agents were asked, and what was answered.

#include <cstdint>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/error.h"
#include "cli/cli11.h"
#include "cli/find_agent_of.h"
#include "cli/journal/journal_commands.h"
#include "journal/read/export.h"
#include "journal/read/reader.h"
#include "journal/store/clock.h"

namespace throng::cli {

namespace {

using Json = nlohmann::ordered_json;

struct Options {
  std::string journal;
  std::string agent;
  std::string step;
  std::string from;
  std::string to;
  std::string function;
  bool json = false;
};

std::string TextOf(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.is_null() ? "" : value.dump();
}

void PrintBlock(const char* title, const Json& text) {
  if (text.is_null()) return;
  const std::string shown = TextOf(text);
  fmt::print("--- {}\n{}{}", title, shown, shown.ends_with('\n') ? "" : "\n");
}

// What of the agent's memory is in the prompt, and when it came there.
void PrintMemories(const journal::Journal& journal, const Json& memories) {
  if (memories.empty()) return;
  fmt::print("--- memories in the prompt\n");
  for (const Json& memory : memories) {
    const std::string clock = journal::ClockAt(journal, memory["made"].get<int64_t>());
    fmt::print("{}step {}{}{}{}\n", memory["memory"].is_null() ? "" : TextOf(memory["memory"]) + ", ",
               TextOf(memory["made"]), clock.empty() ? "" : " (" + clock + ")",
               memory["text"].is_null() ? "" : ": ", TextOf(memory["text"]));
  }
}

// "temperature 0.8, top_p 0.9, at most 24 tokens": what differs from the default.
std::string DescribeSettings(const Json& call) {
  if (call["max_tokens"].is_null()) return "";
  std::string text = fmt::format("temperature {}", TextOf(call["temperature"]));
  const auto add = [&](const char* name, double by_default) {
    if (call[name].get<double>() != by_default) text += fmt::format(", {} {}", name, TextOf(call[name]));
  };
  add("top_k", 0);
  add("top_p", 1);
  add("min_p", 0);
  add("repetition_penalty", 1);
  text += fmt::format(", seed {}, at most {} tokens", TextOf(call["seed"]), TextOf(call["max_tokens"]));
  for (const char* name : {"stop", "choices", "json_schema"}) {
    if (!call[name].is_null()) text += fmt::format("\n{} {}", name, TextOf(call[name]));
  }
  return text;
}

void Print(const journal::Journal& journal, const Json& call) {
  const std::string clock = journal::ClockAt(journal, call["step"].get<int64_t>());
  fmt::print("=== step {}{}, {} (agent {}), call {}: {}\n", TextOf(call["step"]),
             clock.empty() ? "" : " (" + clock + ")", TextOf(call["name"]), TextOf(call["agent"]),
             TextOf(call["call"]), TextOf(call["function"]));
  PrintBlock("system", call["system"]);
  PrintBlock("prompt", call["prompt"]);
  PrintMemories(journal, call["memories"]);
  PrintBlock("answer", call["answer"]);
  PrintBlock("error", call["error"]);
  std::string line =
      fmt::format("--- {}; tokens {} of the prompt ({} found in the cache), {} of the answer; {:.3f} s",
                  TextOf(call["finish"]), TextOf(call["prompt_tokens"]), TextOf(call["cached_tokens"]),
                  TextOf(call["output_tokens"]), call["latency_s"].get<double>());
  if (call["attempts"].get<int64_t>() != 1) {
    line += fmt::format("; {} attempts, {} ({} found in the cache) + {} tokens more",
                        TextOf(call["attempts"]), TextOf(call["spent_prompt_tokens"]),
                        TextOf(call["spent_cached_tokens"]), TextOf(call["spent_output_tokens"]));
  }
  if (!call["cost"].is_null()) line += fmt::format("; cost {:.6f}", call["cost"].get<double>());
  if (!call["served_by"].is_null()) line += "; by " + TextOf(call["served_by"]);
  fmt::print("{}\n{}\n\n", line, DescribeSettings(call));
}

void Prompts(const Options& options) {
  const std::unique_ptr<journal::Journal> journal = journal::Journal::OpenToRead(options.journal);
  journal::CallFilter filter;
  if (!options.agent.empty()) filter.agent = FindAgentOf(*journal, options.agent);
  filter.function = options.function;
  if (!options.from.empty()) filter.from = journal::ParseMoment(*journal, options.from);
  if (!options.to.empty()) filter.to = journal::ParseMoment(*journal, options.to);
  if (!options.step.empty()) {
    filter.from = journal::ParseMoment(*journal, options.step);
    filter.to = filter.from + 1;
  }
  int64_t shown = 0;
  journal::ForEachCall(*journal, filter, [&](const Json& call) {
    ++shown;
    if (options.json) {
      fmt::print("{}\n", call.dump(-1, ' ', false, Json::error_handler_t::replace));
    } else {
      Print(*journal, call);
    }
  });
  if (shown == 0) fmt::print(stderr, "no such call\n");
  const auto kept = journal->GetManifest().find(journal::JournalKeys::kPrompts);
  if (shown > 0 && kept != journal->GetManifest().end() && kept->second == "off") {
    fmt::print(stderr, "the run was made with --prompts off: its prompts were not kept\n");
  }
}

}  // namespace

void AddJournalPrompts(CLI::App& journal) {
  CLI::App* command = journal.add_subcommand("prompts", "Show calls: prompt, answer, tokens, cost, settings");
  const auto options = std::make_shared<Options>();
  command->add_option("journal", options->journal, "What throng run wrote; it is only read")->required();
  command->add_option("--agent", options->agent, "Only this agent's, by name or number");
  CLI::Option* step =
      command->add_option("--step", options->step, "Only those of this step, or time such as 09:30");
  command->add_option("--from", options->from, "From this step or time on")->excludes(step);
  command->add_option("--to", options->to, "Before this step or time")->excludes(step);
  command->add_option("--function", options->function, "Only these: plan, act, say, ...");
  command->add_flag("--json", options->json, "Print one JSON object per call and line");
  command->footer(
      "Examples:\n"
      "  throng journal prompts town.journal --agent Ada --from 09:00 --to 09:30\n"
      "  throng journal prompts town.journal --function say --json");
  command->callback([options] { Prompts(*options); });
}

}  // namespace throng::cli
