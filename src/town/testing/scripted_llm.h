// A backend for tests that answers the town's prompts as a sensible model would, each answer a function of
// the prompt and the call's key. Completions come back in an order shuffled by a seed.
#pragma once

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "llm/llm.h"
#include "town/content/json_file.h"
#include "town/mind/memory.h"

namespace throng::town {

class TestLlm : public llm::Llm {
 public:
  explicit TestLlm(uint64_t seed = 0) : rng_(seed) {}

  void Submit(llm::Request request) override {
    Pending pending;
    pending.completion.id = request.id;
    pending.completion.key = request.key;
    pending.completion.text = broken ? "?" : Answer(request);
    pending.completion.prompt_tokens = static_cast<int>(request.prompt.size());
    pending.completion.output_tokens = static_cast<int>(pending.completion.text.size());
    stats_.calls += 1;
    stats_.prompt_tokens += request.prompt.size();
    calls_of[request.function] += 1;
    bytes_of[request.function] += request.prompt.size();
    longest_prompt = std::max(longest_prompt, request.prompt.size());
    if (keep_requests) requests.push_back(request);
    pending_.push_back(std::move(pending));
  }

  void Wait(std::vector<llm::Completion>& done, double) override {
    if (pending_.empty()) return;
    const size_t pick = rng_.NextBelow(pending_.size());
    done.push_back(std::move(pending_[pick].completion));
    pending_.erase(pending_.begin() + static_cast<std::ptrdiff_t>(pick));
  }

  void Cancel(uint64_t) override {}
  double Now() const override { return 0; }
  std::string Identity() const override { return "test"; }
  llm::Stats GetStats() const override { return stats_; }

  bool broken = false;  // every answer is meaningless
  bool keep_requests = false;
  std::vector<llm::Request> requests;
  std::map<std::string, uint64_t> calls_of;  // calls, by function
  std::map<std::string, uint64_t> bytes_of;  // prompt bytes, by function
  size_t longest_prompt = 0;

 private:
  struct Pending {
    llm::Completion completion;
  };

  // The rest of the first line that starts with `begin`.
  static std::string Field(const std::string& prompt, const std::string& begin) {
    const size_t at = ("\n" + prompt).find("\n" + begin);
    if (at == std::string::npos) return "";
    const size_t from = at + begin.size();
    return prompt.substr(from, prompt.find('\n', from) - from);
  }

  static std::vector<std::string> Lines(const std::string& prompt) {
    std::vector<std::string> lines;
    for (size_t at = 0; at < prompt.size();) {
      const size_t end = std::min(prompt.find('\n', at), prompt.size());
      lines.push_back(prompt.substr(at, end - at));
      at = end + 1;
    }
    return lines;
  }

  static std::string Plan(const std::string& prompt, CounterRng rng) {
    const int wake = ParseClock(Field(prompt, "Now: ")).value_or(0) / 60;
    const std::string job = Field(prompt, "Job: ");
    const std::string work = job.substr(job.rfind(' ') + 1);
    constexpr const char* kLunch[] = {"cafe", "home", "park", "market"};
    constexpr const char* kEvening[] = {"pub", "park", "gym", "library", "shop"};
    Json plan = Json::array();
    const auto add = [&](int hour, const std::string& place, const char* activity) {
      char at[8];
      std::snprintf(at, sizeof(at), "%02d:00", hour);
      plan.push_back({{"at", at}, {"place", place}, {"do", activity}});
    };
    add(wake, "home", "have breakfast");
    add(std::max(wake + 1, 8), work, "work");
    add(12, kLunch[rng.NextBelow(4)], "eat lunch");
    add(13, work, "work");
    add(18, kEvening[rng.NextBelow(5)], "rest");
    add(21, "home", "read a novel");
    return Json({{"plan", plan}}).dump();
  }

  // The place of an event in this hour, else of the plan.
  static std::string Act(const std::string& prompt) {
    const int hour = ParseClock(Field(prompt, "Next place at ").substr(0, 5)).value_or(0) / 60;
    std::string place = "home";
    bool in_plan = false;
    for (const std::string& line : Lines(prompt)) {
      if (line == "Plan:") in_plan = true;
      if (line == "Memories:") in_plan = false;
      if (in_plan && line.starts_with(fmt::format("- {:02} ", hour))) place = line.substr(5);
      const size_t where = line.find(" is at the ");
      if (in_plan || where == std::string::npos) continue;
      const size_t name = where + 11;
      const size_t end = line.find(" at ", name);
      if (end == std::string::npos || end + 9 > line.size()) continue;
      const std::optional<int> event = ParseClock(std::string_view(line).substr(end + 4, 5));
      if (event && *event / 60 == hour) return line.substr(name, end - name);
    }
    return place;
  }

  static std::string Talk(const std::string& prompt) {
    const bool stranger = Field(prompt, "Sees: ").find("(stranger)") != std::string::npos;
    const std::string traits = Field(prompt, "Traits: ");
    const bool open =
        traits.find("curious") != std::string::npos || traits.find("outgoing") != std::string::npos;
    const bool lately = Field(prompt, "Last talk: ").find("minutes") != std::string::npos;
    return (!stranger || open) && !lately ? "yes" : "no";
  }

  // Tells the first of the news, if there are any.
  static std::string Say(const std::string& prompt, CounterRng rng) {
    const std::string with = Field(prompt, "Talk with: ");
    const std::string other = with.substr(0, with.find(' '));
    const std::string begin = "\nNews for " + other + ":\n- ";
    const size_t at = prompt.find(begin);
    std::string news;
    if (at != std::string::npos)
      news = prompt.substr(at + begin.size(), prompt.find('\n', at + begin.size()) - at - begin.size());
    const bool last =
        prompt.find("\nYou: ") != std::string::npos || prompt.find("\n" + other + ": ") != std::string::npos;
    std::string text = last ? "thanks " + other + ". " : "hello " + other + ". ";
    text += news.empty() || news == "none" ? "what is new?" : news;
    if (text.size() > 120) text.resize(120);
    return Json({{"say", text}, {"end", last && rng.NextBelow(2) == 0}}).dump();
  }

  // Each word is a direction of its own.
  static std::string Embeddings(const llm::Request& request) {
    const Json arguments = Json::parse(request.prompt);
    Json embeddings = Json::array();
    for (const Json& text : arguments.at("texts")) {
      std::vector<int> sums(24);
      for (const uint64_t word : WordsOf(text.get<std::string>())) {
        for (uint64_t i = 0; i < sums.size(); ++i) sums[i] += CounterRng(word, i).Next() % 2 == 0 ? 3 : -3;
      }
      embeddings.push_back(Json(sums));
    }
    return embeddings.dump();
  }

  static std::string Answer(const llm::Request& request) {
    if (request.kind == llm::Kind::kEmbedding) return Embeddings(request);
    const CounterRng rng(request.key.agent, request.key.step, request.key.call, request.prompt.size());
    if (request.function == "plan") return Plan(request.prompt, rng);
    if (request.function == "act") return Act(request.prompt);
    if (request.function == "talk") return Talk(request.prompt);
    if (request.function == "say") return Say(request.prompt, rng);
    if (request.function == "reflect") return R"({"insight":"it was a good day.","importance":3})";
    return "park";
  }

  CounterRng rng_;
  std::vector<Pending> pending_;
  llm::Stats stats_;
};

}  // namespace throng::town
