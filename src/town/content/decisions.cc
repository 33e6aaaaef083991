#include "town/content/decisions.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "llm/grammar/json_schema.h"

namespace throng::town {
namespace {

constexpr size_t kMaxChoices = 200;

// Notes choices that the program would not understand.
void CheckChoices(Decision decision, const JsonView& list, const std::vector<Place>& places) {
  for (const JsonView& choice : list.Items(1, kMaxChoices)) {
    if (decision == Decision::kAct) {
      FindPlace(places, choice);
    } else if (decision == Decision::kTalk) {
      const std::string text = choice.Text(1, kMaxNameBytes);
      if (text != "yes" && text != "no") choice.Fail("\"yes\" and \"no\"");
    }
  }
}

const char* ExpectedKind(Decision decision) {
  switch (decision) {
    case Decision::kAct:
    case Decision::kTalk:
      return "choice";
    case Decision::kAnswer:
      return "text";
    default:
      return "json";
  }
}

// The schema of a property; a problem, and nothing, if the schema has no such property.
std::optional<JsonView> Property(const JsonView& schema, const char* key) {
  const std::optional<JsonView> properties = schema.Find("properties");
  if (properties && properties->Raw().contains(key)) return properties->Find(key);
  (properties ? *properties : schema)
      .Note(fmt::format("the property \"{}\" is missing, which is read of the answer", key));
  return std::nullopt;
}

void CheckPlanSchema(const JsonView& schema, const std::vector<Place>& places) {
  const std::optional<JsonView> plan = Property(schema, "plan");
  if (!plan) return;
  const std::optional<JsonView> items = plan->Find("items");
  if (!items) {
    plan->Note("the key \"items\" is missing, allowed: a list of objects with \"at\", \"place\" and \"do\"");
    return;
  }
  Property(*items, "at");
  Property(*items, "do");
  const std::optional<JsonView> place = Property(*items, "place");
  const std::optional<JsonView> names = place ? place->Find("enum") : std::nullopt;
  if (!names) return;
  for (const JsonView& name : names->Items(1, kMaxChoices)) FindPlace(places, name);
}

void CheckSchema(Decision decision, const JsonView& schema, const std::vector<Place>& places) {
  if (!schema.Raw().is_object()) {
    schema.Fail("a JSON schema");
    return;
  }
  if (decision == Decision::kPlan) CheckPlanSchema(schema, places);
  if (decision == Decision::kSay) Property(schema, "say");
  if (decision == Decision::kReflect) Property(schema, "insight");
  try {
    llm::Grammar grammar;
    llm::LowerJsonSchema(schema.Raw().dump(), grammar);
  } catch (const Error& error) {
    schema.Note(error.what());
  }
}

DecisionRules ReadDecision(Decision decision, const JsonView& entry, const std::vector<Place>& places) {
  entry.OnlyKeys({"prompt", "kind", "choices", "schema", "stop", "max_tokens"});
  DecisionRules rules;
  const char* kind = ExpectedKind(decision);
  if (entry.At("kind").Text(1, 16) != kind) {
    entry.At("kind").Fail(fmt::format("\"{}\"", kind));
  } else if (kind == std::string_view("choice")) {
    CheckChoices(decision, entry.At("choices"), places);
    for (const JsonView& choice : entry.At("choices").Items(1, kMaxChoices)) {
      rules.constraint.choices.push_back(choice.Text(1, kMaxNameBytes));
    }
  } else if (kind == std::string_view("json")) {
    const JsonView schema = entry.At("schema");
    if (!schema.Missing()) CheckSchema(decision, schema, places);
    rules.constraint.json_schema = schema.Raw().dump();
  }
  if (const std::optional<JsonView> stop = entry.Find("stop")) {
    const bool is_text = stop->Raw().is_string() && !stop->Raw().get_ref<const std::string&>().empty();
    if (is_text) rules.stop.push_back(stop->Raw().get<std::string>());
    if (!is_text) stop->Fail("a text");
  }
  rules.max_tokens = static_cast<int>(entry.At("max_tokens").Int(1, 4096));
  return rules;
}

}  // namespace

void ReadDecisions(const JsonView& file, const std::string& dir, const ReadPrompt& read, Content& content) {
  file.OnlyKeys({"plan", "act", "talk", "say", "reflect", "answer"});
  for (const Decision decision : kDecisions) {
    const JsonView entry = file.At(DecisionName(decision));
    DecisionRules& rules = content.decisions[static_cast<size_t>(decision)];
    rules = ReadDecision(decision, entry, content.places);
    const JsonView path = entry.At("prompt");
    const std::string prompt = path.Text(1, 200);
    if (prompt.starts_with('/') || prompt.find("..") != std::string::npos) {
      path.Fail("the path of a file in this folder");
    } else if (!prompt.empty()) {
      const std::optional<std::string> text = read(prompt);
      if (text) rules.prompt = Template(dir + "/" + prompt, *text, decision, file.GetProblems());
    }
  }
}

void CheckChoosable(const JsonView& places, const Content& content) {
  const std::vector<std::string>& choices = content.Rules(Decision::kAct).constraint.choices;
  if (choices.empty()) return;
  const std::vector<JsonView> entries = places.Items(2, kMaxPlaces);
  for (size_t i = 0; i < content.places.size(); ++i) {
    const Place& place = content.places[i];
    if (place.is_home || std::find(choices.begin(), choices.end(), place.name) != choices.end()) continue;
    entries[i].At("name").Note(fmt::format(
        "no decision can choose \"{}\", allowed: a place among the choices of act in decisions.json",
        place.name));
  }
}

void NarrowToKnownPlaces(const JsonView& personas, Content& content) {
  if (content.places.empty()) return;  // a problem already
  const llm::Constraint& act = content.Rules(Decision::kAct).constraint;
  const llm::Constraint& plan = content.Rules(Decision::kPlan).constraint;
  const Json::json_pointer names("/properties/plan/items/properties/place/enum");
  for (size_t i = 0; i < content.personas.size(); ++i) {
    Persona& persona = content.personas[i];
    if (!persona.known_places) continue;
    std::set<std::string> known;
    for (size_t place = 0; place < content.places.size(); ++place) {
      const auto& places = *persona.known_places;
      const bool is_known = std::find(places.begin(), places.end(), place) != places.end();
      if (is_known || content.places[place].is_home) known.insert(content.places[place].name);
    }
    llm::Constraint& own_act = persona.constraints[Decision::kAct] = act;
    std::erase_if(own_act.choices, [&](const std::string& name) { return !known.contains(name); });
    Json schema = Json::parse(plan.json_schema, nullptr, /*allow_exceptions=*/false);
    if (schema.is_discarded() || !schema.contains(names) || !schema[names].is_array()) continue;
    auto& allowed = schema[names].get_ref<Json::array_t&>();
    std::erase_if(allowed, [&](const Json& name) { return !name.is_string() || !known.contains(name); });
    persona.constraints[Decision::kPlan] = plan;
    persona.constraints[Decision::kPlan].json_schema = schema.dump();
    // Of choices that are missing altogether something is said already.
    if ((own_act.choices.empty() && !act.choices.empty()) || allowed.empty()) {
      personas.Items(1, kMaxPersonas)[i].At("places").Fail(
          "one at least that act and plan in decisions.json allow");
    }
  }
}

PlaceId FindPlace(const std::vector<Place>& places, const JsonView& name) {
  const std::string text = name.Text(1, kMaxNameBytes);
  for (size_t i = 0; i < places.size(); ++i) {
    if (places[i].name == text) return static_cast<PlaceId>(i);
  }
  if (!places.empty()) name.Fail("a name among those in places.json");
  return 0;
}

}  // namespace throng::town
