// Turns a mind into the prompt of each decision, and the model's answer into its meaning. An answer without
// meaning (servers may err) gives nothing; the caller falls back.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "llm/llm.h"
#include "town/content/content.h"
#include "town/mind/mind.h"

namespace throng::town {

// A moment of a person's life: what every prompt needs. The referenced objects must outlive it.
struct Scene {
  const Content& content;
  const Persona& persona;
  const TownMind& mind;
  int32_t minute;  // since the midnight before step 0
  // Of what the decision is about (the queries below); memories are recalled by it, and each must have one
  // itself. Null: they are recalled by words.
  const Embedding* query = nullptr;
};

struct Meeting {  // what an agent sees of another
  std::string name;
  std::string activity;
  int minutes_since_talk;  // negative: never talked
};

struct Utterance {
  bool mine;
  std::string text;
};

std::string ClockText(int32_t minute);  // "09:20", of any day

// What a decision is about: memories are recalled that are near this text. AskTalk's is the other's name,
// AskAnswer's and AskJudge's the question; plans and reflections have none.
std::string ActQuery(int32_t minute);
std::string SayQuery(const std::string& other, const std::vector<Utterance>& talk);

llm::Request AskPlan(const Scene& scene);
llm::Request AskAct(const Scene& scene, const std::vector<std::string>& near);
llm::Request AskTalk(const Scene& scene, const Meeting& meeting);
llm::Request AskSay(const Scene& scene, const std::string& other, const std::vector<Utterance>& talk);
llm::Request AskReflect(const Scene& scene);
llm::Request AskAnswer(const Scene& scene, const std::string& question);
// How believable the answer to a question is, 1 to 5. The judge is given what the person knows, but may be
// another model.
llm::Request AskJudge(const Scene& scene, const std::string& question, const std::string& answer);

struct Said {
  std::string text;
  bool end;
};

struct Insight {
  std::string text;
  int importance;
};

std::optional<Plan> ParsePlan(const Content& content, const std::string& answer);
std::optional<PlaceId> ParsePlace(const Content& content, std::string_view answer);
std::optional<bool> ParseYesNo(std::string_view answer);
std::optional<Said> ParseSaid(const std::string& answer);
std::optional<Insight> ParseInsight(const std::string& answer);

// One line of at most max_bytes: control characters become spaces, the ends are trimmed, no character is cut
// in two.
std::string CleanLine(std::string_view text, size_t max_bytes);

// The text of the event for an answer that gave nothing: "act: what was answered".
std::string FallbackText(Decision decision, const llm::Completion& completion);

// The plan of a person who has no understandable one: work, lunch, an evening out, home.
Plan UsualPlan(const Content& content, const Persona& persona);

}  // namespace throng::town
