#include "town/mind/prompt.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <span>

namespace throng::town {
namespace {

constexpr const char* kSlotNames[] = {"name",      "age",       "job",   "workplace", "traits",
                                      "about",     "relations", "plan",  "memories",  "time",
                                      "place",     "near",      "other", "relation",  "other_does",
                                      "last_talk", "next",      "news",  "talk",      "question"};
static_assert(std::size(kSlotNames) == static_cast<size_t>(Slot::kCount));

constexpr Slot kCommon[] = {Slot::kName,  Slot::kAge,       Slot::kJob,  Slot::kWorkplace, Slot::kTraits,
                            Slot::kAbout, Slot::kRelations, Slot::kPlan, Slot::kMemories,  Slot::kTime};
constexpr Slot kOfAct[] = {Slot::kPlace, Slot::kNear};
constexpr Slot kOfTalk[] = {Slot::kPlace, Slot::kOther, Slot::kRelation, Slot::kOtherDoes, Slot::kLastTalk};
constexpr Slot kOfSay[] = {Slot::kPlace, Slot::kOther, Slot::kRelation,
                           Slot::kNext,  Slot::kNews,  Slot::kTalk};
constexpr Slot kOfAnswer[] = {Slot::kQuestion};

std::span<const Slot> OwnSlots(Decision decision) {
  switch (decision) {
    case Decision::kAct:
      return kOfAct;
    case Decision::kTalk:
      return kOfTalk;
    case Decision::kSay:
      return kOfSay;
    case Decision::kAnswer:
      return kOfAnswer;
    case Decision::kPlan:
    case Decision::kReflect:
      break;
  }
  return {};
}

int NumLines(std::string_view text) { return static_cast<int>(std::count(text.begin(), text.end(), '\n')); }

std::vector<std::string_view> OfferedNames(Decision decision) {
  std::vector<std::string_view> names;
  for (const Slot slot : kCommon) names.push_back(kSlotNames[static_cast<size_t>(slot)]);
  for (const Slot slot : OwnSlots(decision)) names.push_back(kSlotNames[static_cast<size_t>(slot)]);
  return names;
}

std::optional<Slot> FindSlot(std::string_view name, Decision decision) {
  for (const std::span<const Slot> slots : {std::span<const Slot>(kCommon), OwnSlots(decision)}) {
    for (const Slot slot : slots) {
      if (name == kSlotNames[static_cast<size_t>(slot)]) return slot;
    }
  }
  return std::nullopt;
}

}  // namespace

const char* DecisionName(Decision decision) {
  switch (decision) {
    case Decision::kPlan:
      return "plan";
    case Decision::kAct:
      return "act";
    case Decision::kTalk:
      return "talk";
    case Decision::kSay:
      return "say";
    case Decision::kReflect:
      return "reflect";
    case Decision::kAnswer:
      return "answer";
  }
  return "";
}

Template::Template(const std::string& path, std::string_view text, Decision decision, Problems& problems) {
  if (text.empty()) problems.Add({path, 0, "", "found nothing, allowed: the text of a prompt"});
  int line = 1;
  while (true) {
    const size_t open = text.find("{{");
    if (open == std::string_view::npos) break;
    line += NumLines(text.substr(0, open));
    const size_t close = text.find("}}", open);
    if (close == std::string_view::npos) {
      problems.Add({path, line, "", "found {{ without }}, allowed: placeholders such as {{name}}"});
      break;
    }
    const std::string_view name = text.substr(open + 2, close - open - 2);
    const std::optional<Slot> slot = FindSlot(name, decision);
    if (!slot) {
      problems.Add({path, line, "",
                    fmt::format("found the placeholder {{{{{}}}}}, allowed: {}", name,
                                fmt::join(OfferedNames(decision), ", "))});
    }
    parts_.push_back({std::string(text.substr(0, open)), slot.value_or(Slot::kCount)});
    line += NumLines(name);
    text.remove_prefix(close + 2);
  }
  parts_.push_back({std::string(text), Slot::kCount});
}

bool Template::Has(Slot slot) const {
  return std::any_of(parts_.begin(), parts_.end(), [&](const Part& part) { return part.slot == slot; });
}

std::string Template::Render(const Values& values) const {
  std::string prompt;
  for (const Part& part : parts_) {
    prompt += part.literal;
    if (part.slot != Slot::kCount) prompt += values[part.slot];
  }
  return prompt;
}

}  // namespace throng::town
