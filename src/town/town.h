// The built-in scenario: people of a small town plan their day, walk, meet, talk and remember. Everything
// they are and say comes from a folder of files (map, personas, places, decisions, prompts, scenario), so
// another town needs no C++.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "llm/llm.h"
#include "sim/world.h"
#include "town/content/problems.h"
#include "town/content/scenario_file.h"
#include "town/mind/hidden.h"

namespace throng::town {

struct LoadOptions {
  // 0: all personas. Fewer: the first ones. More: copies of the whole town side by side, each with its own
  // people.
  uint32_t agents = 0;
  // People recall memories by embeddings, which they ask for (mind/recall.h); false: by words.
  bool embeds = false;
  // What the people's prompts hold back during the run, ascending by step: the last entry up to a step holds.
  // It is no part of the scenario's digest, as a fork may change it on the way.
  std::vector<HiddenFrom> hidden{};
};

// Embeds at once: arguments and result are those of a request of kind kEmbedding. Not set: memories are
// recalled by words.
using EmbedNow = std::function<std::string(const std::string& arguments)>;

class Town : public sim::World {
 public:
  // What it was made from: map, people, prompts and all else in its folder.
  virtual const std::vector<ScenarioFile>& Files() const = 0;
  // Default length of a run (scenario.json: hours).
  virtual sim::Step DefaultSteps() const = 0;
  virtual int SecondsPerStep() const = 0;
  // Time of day at the start of a step: "09:20".
  virtual std::string ClockAt(sim::Step step) const = 0;
  // The first step at or after this time of the first day; throws kInvalid unless it is HH:MM, at or after
  // the start time.
  virtual sim::Step StepAt(const std::string& clock) const = 0;
  // For viewers: {"width", "height", "places": [{"name", "x", "y", "width", "height", "walls", "doors": [[x,
  // y]]}], "homes": [as places], "rows": one string per row, '#' wall, '~' water, 'T' tree, 'o' furniture,
  // '+' door, '=' road, ',' floor, '.' grass, "copies": [[x, y]], where each copy of this map begins}.
  virtual std::string MapJson() const = 0;
  // Throws kInvalid, listing the names that exist.
  virtual sim::AgentId FindAgent(const std::string& name) const = 0;

  // Asks an agent about its memories, and its plan, those left out that `hidden` names, or that the run hides
  // from it then; what it recalls is near the question. The request has no key; `mind` must be one that a run
  // of this town committed.
  virtual llm::Request Interview(sim::AgentId agent, const sim::MindPtr& mind, sim::Step step,
                                 const std::string& question, const Hidden& hidden,
                                 const EmbedNow& embed) const = 0;
  // Asks a judge how believable an answer to that question is, by all that the agent remembers: 1 to 5, by
  // choice.
  virtual llm::Request Judge(sim::AgentId agent, const sim::MindPtr& mind, sim::Step step,
                             const std::string& question, const std::string& answer,
                             const EmbedNow& embed) const = 0;
  // Plan and memories of a mind, one line each; as_json: {"name", "plan": [{"at", "place", "do"}],
  // "memories": [{"id", "at", "kind", "importance", "text"}], ...}.
  virtual std::string DescribeMind(sim::AgentId agent, const sim::MindPtr& mind, bool as_json) const = 0;
};

// All that is wrong with a folder's files. Without a problem, LoadTown takes it.
std::vector<Problem> CheckTown(const std::string& dir);

// Throws kInvalid with the first of these problems, in one sentence that names the file, what is wrong and
// what is allowed.
std::unique_ptr<Town> LoadTown(const std::string& dir, const LoadOptions& options = {});

}  // namespace throng::town
