#include "town/mind/decide.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/error.h"
#include "base/text/trim.h"
#include "town/mind/news.h"

namespace throng::town {
namespace {

constexpr size_t kMaxSayBytes = 160;
constexpr size_t kMaxPlanEntries = 12;

std::string RelationTo(const Persona& persona, const std::string& other) {
  for (const Relation& relation : persona.relations) {
    if (relation.name == other) return relation.relation;
  }
  return "stranger";
}

std::string RelationsText(const Persona& persona) {
  std::vector<std::string> known;
  for (const Relation& relation : persona.relations) {
    known.push_back(fmt::format("{} ({})", relation.name, relation.relation));
  }
  return known.empty() ? "nobody" : fmt::format("{}", fmt::join(known, ", "));
}

std::string Block(const std::vector<std::string>& lines) {
  return lines.empty() ? "- none" : fmt::format("{}", fmt::join(lines, "\n"));
}

std::string PlanText(const Content& content, const Plan& plan) {
  std::vector<std::string> lines;
  for (const PlanEntry& entry : plan) {
    lines.push_back(
        fmt::format("- {:02}:00 {}: {}", entry.hour, content.places[entry.place].name, entry.activity));
  }
  return Block(lines);
}

// The place for each hour of the day: looking up an hour is easier than comparing it with those of a few
// entries.
std::string PlanByHourText(const Content& content, const Plan& plan) {
  constexpr int kFirstHour = 5;
  constexpr int kLastHour = 23;
  std::vector<std::string> lines;
  for (int hour = kFirstHour; hour <= kLastHour && !plan.empty(); ++hour) {
    const PlanEntry* entry = CurrentEntry(plan, hour * 60);
    const PlaceId place = entry ? entry->place : content.home;
    lines.push_back(fmt::format("- {:02} {}", hour, content.places[place].name));
  }
  return Block(lines);
}

// What fills the slots of a prompt, and the memories that are in it.
struct Filling {
  Values values;
  std::vector<std::pair<Slot, const Memory*>> memories;

  std::string& operator[](Slot slot) { return values[slot]; }
};

void FillMemories(const Scene& scene, std::string_view query, Filling& filling) {
  const Settings& settings = scene.content.settings;
  const RetrievalLimits limits = {settings.memory_lines, settings.memory_bytes,
                                  settings.recency_half_minutes};
  std::vector<std::string> lines;
  const std::vector<const Memory*> all = scene.mind.memories.All();
  const std::vector<int64_t> relevance = scene.query != nullptr
                                             ? RelevanceByEmbeddings(all, scene.mind.embeddings, *scene.query)
                                             : RelevanceByWords(all, WordsOf(query));
  for (const Memory* memory : Retrieve(all, relevance, scene.minute, limits)) {
    lines.push_back(fmt::format("- {} {}", ClockText(memory->minute), memory->text));
    filling.memories.emplace_back(Slot::kMemories, memory);
  }
  filling[Slot::kMemories] = Block(lines);
}

void FillNews(const Scene& scene, const std::string& other, const std::vector<Utterance>& talk,
              Filling& filling) {
  std::vector<std::string> lines;
  for (const NewsItem& item : NewsFor(scene, other, talk)) {
    lines.push_back("- " + item.text);
    if (item.memory != nullptr) filling.memories.emplace_back(Slot::kNews, item.memory);
  }
  filling[Slot::kNews] = Block(lines);
}

// The slots that all decisions share. The query says what the decision is about.
Filling CommonValues(const Scene& scene, std::string_view query) {
  const Persona& persona = scene.persona;
  Filling values;
  values[Slot::kName] = persona.name;
  values[Slot::kAge] = std::to_string(persona.age);
  values[Slot::kJob] = persona.job;
  values[Slot::kWorkplace] = scene.content.places[persona.workplace].name;
  values[Slot::kTraits] = fmt::format("{}", fmt::join(persona.traits, ", "));
  values[Slot::kAbout] = persona.about;
  values[Slot::kRelations] = RelationsText(persona);
  values[Slot::kPlan] = PlanText(scene.content, *scene.mind.plan);
  FillMemories(scene, query, values);
  values[Slot::kTime] = ClockText(scene.minute);
  values[Slot::kPlace] = scene.content.places[scene.mind.at].name;
  return values;
}

// Those of slots that the prompt has, each once, oldest first.
std::vector<llm::UsedMemory> MemoriesIn(const Template& prompt, const Filling& filling) {
  std::map<uint32_t, const Memory*> used;
  for (const auto& [slot, memory] : filling.memories) {
    if (prompt.Has(slot)) used.emplace(memory->id, memory);
  }
  std::vector<llm::UsedMemory> memories;
  for (const auto& [id, memory] : used) memories.push_back({memory->step, memory->text, int64_t{id}});
  return memories;
}

llm::Request MakeRequest(const Scene& scene, Decision decision, const Filling& filling) {
  const DecisionRules& rules = scene.content.Rules(decision);
  const auto own = scene.persona.constraints.find(decision);
  llm::Request request;
  request.function = DecisionName(decision);
  request.prompt = rules.prompt.Render(filling.values);
  request.memories = MemoriesIn(rules.prompt, filling);
  request.constraint = own != scene.persona.constraints.end() ? own->second : rules.constraint;
  request.sampling = rules.sampling;
  request.stop = rules.stop;
  request.max_tokens = rules.max_tokens;
  return request;
}

std::string LastTalkText(int minutes) {
  if (minutes < 0) return "never";
  if (minutes < 60) return fmt::format("{} minutes ago", std::max(10, minutes / 10 * 10));
  return fmt::format("{} hours ago", std::min(23, minutes / 60));
}

// Parses the answer as a JSON object; discarded if it is not one.
Json ParseObject(const std::string& answer) {
  Json json = Json::parse(answer, nullptr, false);
  return json.is_object() ? json : Json(Json::value_t::discarded);
}

std::string TextOf(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::optional<PlanEntry> ParseEntry(const Content& content, const Json& json) {
  if (!json.is_object()) return std::nullopt;
  const std::optional<int> minutes = ParseClock(TextOf(json, "at"));
  const std::optional<PlaceId> place = ParsePlace(content, TextOf(json, "place"));
  if (!minutes || !place) return std::nullopt;
  PlanEntry entry = {*minutes / 60, *place, CleanLine(TextOf(json, "do"), kMaxActivityBytes)};
  if (entry.activity.empty()) entry.activity = content.places[*place].activities[0];
  return entry;
}

}  // namespace

std::string ClockText(int32_t minute) {
  const int of_day = minute % (24 * 60);
  return fmt::format("{:02}:{:02}", of_day / 60, of_day % 60);
}

// What was heard about this hour matters most.
std::string ActQuery(int32_t minute) { return ClockText(minute / 60 * 60); }

std::string SayQuery(const std::string& other, const std::vector<Utterance>& talk) {
  return talk.empty() ? other : other + " " + talk.back().text;
}

llm::Request AskPlan(const Scene& scene) {
  return MakeRequest(scene, Decision::kPlan, CommonValues(scene, ""));
}

llm::Request AskAct(const Scene& scene, const std::vector<std::string>& near) {
  Filling values = CommonValues(scene, ActQuery(scene.minute));
  values[Slot::kPlan] = PlanByHourText(scene.content, *scene.mind.plan);
  values[Slot::kNear] = near.empty() ? "nobody" : fmt::format("{}", fmt::join(near, ", "));
  return MakeRequest(scene, Decision::kAct, values);
}

llm::Request AskTalk(const Scene& scene, const Meeting& meeting) {
  Filling values = CommonValues(scene, meeting.name);
  values[Slot::kOther] = meeting.name;
  values[Slot::kRelation] = RelationTo(scene.persona, meeting.name);
  values[Slot::kOtherDoes] = meeting.activity;
  values[Slot::kLastTalk] = LastTalkText(meeting.minutes_since_talk);
  return MakeRequest(scene, Decision::kTalk, values);
}

llm::Request AskSay(const Scene& scene, const std::string& other, const std::vector<Utterance>& talk) {
  std::vector<std::string> lines;
  for (const Utterance& utterance : talk) {
    lines.push_back(fmt::format("{}: {}", utterance.mine ? "You" : other, utterance.text));
  }
  Filling values = CommonValues(scene, SayQuery(other, talk));
  values[Slot::kOther] = other;
  values[Slot::kRelation] = RelationTo(scene.persona, other);
  values[Slot::kTalk] = Block(lines);
  const std::string intention = IntentionText(scene);
  values[Slot::kNext] = intention.empty() ? "none" : intention;
  FillNews(scene, other, talk, values);
  return MakeRequest(scene, Decision::kSay, values);
}

llm::Request AskReflect(const Scene& scene) {
  return MakeRequest(scene, Decision::kReflect, CommonValues(scene, ""));
}

llm::Request AskAnswer(const Scene& scene, const std::string& question) {
  Filling values = CommonValues(scene, question);
  values[Slot::kQuestion] = question;
  return MakeRequest(scene, Decision::kAnswer, values);
}

llm::Request AskJudge(const Scene& scene, const std::string& question, const std::string& answer) {
  constexpr size_t kMaxAnswerBytes = 2000;
  Filling known = CommonValues(scene, question);
  llm::Request request;
  request.function = "judge";
  request.prompt = fmt::format(
      "{} is {} years old, {} at the {}, {}. {}\nKnows: {}\nPlan:\n{}\nMemories:\n{}\n"
      "It is {}. {} was asked: {}\n{} answered: {}\n"
      "Does the answer fit what {} knows, and is it what such a person would say? From 1, not at all, to 5, "
      "entirely.\n"
      "Score:\n",
      known[Slot::kName], known[Slot::kAge], known[Slot::kJob], known[Slot::kWorkplace], known[Slot::kTraits],
      known[Slot::kAbout], known[Slot::kRelations], known[Slot::kPlan], known[Slot::kMemories],
      known[Slot::kTime], known[Slot::kName], question, known[Slot::kName],
      CleanLine(answer, kMaxAnswerBytes), known[Slot::kName]);
  request.constraint.choices = {"1", "2", "3", "4", "5"};
  request.max_tokens = 4;
  return request;
}

std::optional<Plan> ParsePlan(const Content& content, const std::string& answer) {
  const Json object = ParseObject(answer);
  if (object.is_discarded()) return std::nullopt;
  const auto list = object.find("plan");
  if (list == object.end() || !list->is_array()) return std::nullopt;
  Plan plan;
  for (const Json& json : *list) {
    const std::optional<PlanEntry> entry = ParseEntry(content, json);
    if (!entry || (!plan.empty() && entry->hour <= plan.back().hour)) continue;
    plan.push_back(*entry);
    if (plan.size() == kMaxPlanEntries) break;
  }
  if (plan.empty()) return std::nullopt;
  return plan;
}

std::optional<PlaceId> ParsePlace(const Content& content, std::string_view answer) {
  answer = Trimmed(answer);
  for (size_t i = 0; i < content.places.size(); ++i) {
    if (content.places[i].name == answer) return static_cast<PlaceId>(i);
  }
  return std::nullopt;
}

std::optional<bool> ParseYesNo(std::string_view answer) {
  answer = Trimmed(answer);
  if (answer == "yes") return true;
  if (answer == "no") return false;
  return std::nullopt;
}

std::optional<Said> ParseSaid(const std::string& answer) {
  const Json object = ParseObject(answer);
  if (object.is_discarded()) return std::nullopt;
  Said said;
  said.text = CleanLine(TextOf(object, "say"), kMaxSayBytes);
  const auto end = object.find("end");
  said.end = end != object.end() && end->is_boolean() && end->get<bool>();
  if (said.text.empty()) return std::nullopt;
  return said;
}

std::optional<Insight> ParseInsight(const std::string& answer) {
  const Json object = ParseObject(answer);
  if (object.is_discarded()) return std::nullopt;
  Insight insight;
  insight.text = CleanLine(TextOf(object, "insight"), kMaxSayBytes);
  if (insight.text.empty()) return std::nullopt;
  const auto importance = object.find("importance");
  const bool given = importance != object.end() && importance->is_number_integer();
  insight.importance = given ? static_cast<int>(std::clamp<int64_t>(importance->get<int64_t>(), 1, 10)) : 5;
  return insight;
}

std::string CleanLine(std::string_view text, size_t max_bytes) {
  std::string line(text);
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  if (line.size() > max_bytes) {
    size_t end = max_bytes;
    while (end > 0 && (line[end] & 0xC0) == 0x80) --end;  // do not cut a UTF-8 sequence
    line.resize(end);
  }
  return std::string(Trimmed(line));
}

std::string FallbackText(Decision decision, const llm::Completion& completion) {
  constexpr size_t kMaxBytes = 80;
  return fmt::format("{}: {}", DecisionName(decision),
                     completion.error ? "no answer" : CleanLine(completion.text, kMaxBytes));
}

Plan UsualPlan(const Content& content, const Persona& persona) {
  const auto at = [&](int hour, PlaceId place) {
    return PlanEntry{hour, place, content.places[place].activities[0]};
  };
  const int wake = persona.wake_hour;
  Plan plan = {at(wake, content.home)};
  plan.push_back(at(std::max(8, wake + 1), persona.workplace));
  if (plan.back().hour < 12) plan.push_back(at(12, content.home));
  if (plan.back().hour < 13) plan.push_back(at(13, persona.workplace));
  if (plan.back().hour < 20) plan.push_back(at(20, content.home));
  return plan;
}

}  // namespace throng::town
