// Prompt templates: text with {{placeholders}}, checked on loading.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "town/content/problems.h"

namespace throng::town {

// The decisions that a mind makes with the model, each with a prompt file and an entry in decisions.json.
enum class Decision { kPlan, kAct, kTalk, kSay, kReflect, kAnswer };
inline constexpr std::array kDecisions = {Decision::kPlan, Decision::kAct,     Decision::kTalk,
                                          Decision::kSay,  Decision::kReflect, Decision::kAnswer};
const char* DecisionName(Decision decision);

enum class Slot {
  kName,
  kAge,
  kJob,
  kWorkplace,
  kTraits,
  kAbout,
  kRelations,
  kPlan,
  kMemories,
  kTime,  // every decision offers the slots up to here
  kPlace,
  kNear,
  kOther,
  kRelation,
  kOtherDoes,
  kLastTalk,
  kNext,
  kNews,
  kTalk,
  kQuestion,
  kCount
};

// One text per slot; slots that a decision does not offer stay empty.
class Values {
 public:
  std::string& operator[](Slot slot) { return texts_[static_cast<size_t>(slot)]; }
  const std::string& operator[](Slot slot) const { return texts_[static_cast<size_t>(slot)]; }

 private:
  std::array<std::string, static_cast<size_t>(Slot::kCount)> texts_;
};

class Template {
 public:
  Template() = default;
  // A placeholder that this decision does not offer is a problem, which names its line and what is offered.
  Template(const std::string& path, std::string_view text, Decision decision, Problems& problems);

  std::string Render(const Values& values) const;
  bool Has(Slot slot) const;

 private:
  struct Part {
    std::string literal;
    Slot slot;  // follows the literal; kCount: nothing follows
  };
  std::vector<Part> parts_;
};

}  // namespace throng::town
