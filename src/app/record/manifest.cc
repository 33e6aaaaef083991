#include "app/record/manifest.h"

#include <charconv>
#include <filesystem>
#include <functional>
#include <sstream>
#include <utility>
#include <vector>

#include "app/backend.h"
#include "base/digest.h"
#include "base/error.h"
#include "worlds/example_worlds.h"

namespace throng::app {

namespace {

constexpr const char* kEmbedderKey = "embedder";  // effects::Embedder::Identity

// A field of a simulation under its name in manifests, and the flag that overrides it (null: none).
struct Field {
  const char* key;
  const char* flag;
  std::function<std::string()> get;
  std::function<bool(const std::string&)> set;  // false: not a valid value
};

// Written down, but not taken up again by a run that goes on.
Field Only(Field field) {
  field.set = [](const std::string&) { return true; };
  return field;
}

Field TextField(const char* key, const char* flag, std::string& text) {
  return {key, flag, [&text] { return text; },
          [&text](const std::string& value) {
            text = value;
            return true;
          }};
}

// Relative to the folder where the run began, even if it is resumed elsewhere.
Field PathField(const char* key, const char* flag, std::string& path) {
  Field field = TextField(key, flag, path);
  field.get = [&path] {
    return path.empty() ? path : std::filesystem::absolute(path).lexically_normal().string();
  };
  return field;
}

// Names of examples are not paths.
Field ScenarioField(const char* key, const char* flag, std::string& scenario) {
  return worlds::FindExampleWorld(scenario) != nullptr ? TextField(key, flag, scenario)
                                                       : PathField(key, flag, scenario);
}

template <typename Number>
Field NumberField(const char* key, const char* flag, Number& number) {
  return {key, flag, [&number] { return fmt::format("{}", number); },
          [&number](const std::string& value) {
            const char* const last = value.data() + value.size();
            const auto [end, error] = std::from_chars(value.data(), last, number);
            return error == std::errc() && end == last;
          }};
}

// A path if it is a model's file, else a backend's name.
Field EmbedField(const char* key, const char* flag, std::string& embed) {
  return embed.ends_with(".gguf") ? PathField(key, flag, embed) : TextField(key, flag, embed);
}

// Stores the list as lines.
Field ListField(const char* key, const char* flag, std::vector<std::string>& list) {
  return {key, flag, [&list] { return fmt::format("{}", fmt::join(list, "\n")); },
          [&list](const std::string& value) {
            if (value.empty()) return true;
            list.clear();
            std::istringstream lines(value);
            for (std::string line; std::getline(lines, line);) list.push_back(line);
            return true;
          }};
}

Field BoolField(const char* key, const char* flag, bool& value) {
  return {key, flag, [&value] { return value ? "1" : "0"; },
          [&value](const std::string& text) {
            value = text == "1";
            return text == "0" || text == "1";
          }};
}

std::vector<Field> FieldsOf(Simulation& simulation) {
  engine::LocalOptions& local = simulation.local;
  return {ScenarioField("town", "--scenario", simulation.scenario),
          PathField("trace", nullptr, simulation.trace),
          NumberField("radius", nullptr, simulation.radius),
          NumberField("requested_agents", nullptr, simulation.agents),
          TextField("llm", "--llm", simulation.llm),
          ListField("model_for", "--model-for", simulation.model_for),
          ListField("without", nullptr, simulation.without),
          EmbedField("embed", "--embed", simulation.embed),
          BoolField("real_time", "--real-time", simulation.real_time),
          NumberField("snapshot_every", "--snapshot-every", simulation.snapshot_every),
          TextField("until_event", "--until-event", simulation.until_event),
          NumberField("until_event_from", "--until-event", simulation.until_event_from),
          Only(ListField("events", nullptr, simulation.events)),
          Only(PathField("events_file", nullptr, simulation.events_file)),
          PathField("model", "--model", local.model),
          PathField("chat_template", "--chat-template", local.chat_template),
          TextField("device", "--device", local.device),
          TextField("kv", "--kv", local.kv),
          TextField("k", "--k", local.keys),
          TextField("v", "--v", local.values),
          TextField("softmax", "--softmax", local.softmax),
          PathField("calibration", "--calibration", local.calibration),
          Only(PathField("kv_out", "--kv-out", local.kv_out)),
          NumberField("kv_budget", "--kv-budget", local.kv_budget_bytes),
          NumberField("context", "--context", local.max_context),
          TextField("repack", "--repack", local.repack),
          NumberField("threads", "--threads", local.threads),
          NumberField("batch", "--batch", local.max_batch),
          NumberField("step_tokens", "--step-tokens", local.step_tokens),
          NumberField("chunk", "--chunk", local.chunk_tokens),
          TextField("lookup", "--lookup", local.lookup),
          BoolField("prefix_cache", "--no-prefix-cache", local.prefix_cache),
          TextField("eviction", "--eviction", local.eviction),
          PathField("spill", "--spill", local.spill),
          NumberField("spill_budget", "--spill-budget", local.spill_bytes)};
}

std::vector<Field> FieldsOf(Limits& limits) {
  return {NumberField("call_timeout", "--call-timeout", limits.call_timeout_s),
          NumberField("call_attempts", "--call-attempts", limits.call_attempts),
          NumberField("answer_attempts", "--answer-attempts", limits.answer_attempts),
          NumberField("max_wait", "--max-wait", limits.max_wait_s),
          TextField("fallback", "--fallback", limits.fallback),
          NumberField("max_tokens_total", "--max-tokens-total", limits.max_tokens),
          NumberField("max_tool_calls", nullptr, limits.max_tool_calls),
          NumberField("max_cost", "--max-cost", limits.max_cost),
          TextField("price", "--price", limits.price),
          TextField("interactive", "--interactive", limits.interactive),
          NumberField("target_ms", "--target-ms", limits.target_ms)};
}

// Fields that the journal itself writes into every manifest.
std::vector<Field> OwnFieldsOf(Simulation& simulation) {
  return {NumberField(journal::JournalKeys::kSteps, nullptr, simulation.steps),
          TextField(journal::JournalKeys::kCoupling, nullptr, simulation.coupling),
          TextField(journal::JournalKeys::kMode, "--mode", simulation.mode)};
}

// The codecs chosen for a model (auto, flashq-mixed, a file) and their digest, so that a resumed run need not
// probe or read anything again. Empty: none were chosen.
void StoreCodecs(const llm::Llm& llm, journal::Manifest& manifest) {
  manifest["kv_choice"] = manifest["kv_choice_digest"] = "";
  const std::shared_ptr<engine::LocalModel> local = LocalOf(llm);
  if (local == nullptr) return;
  const engine::CodecOptions codecs = engine::CodecsOf(local->Options());
  if (codecs.stored.empty() && engine::IsPlain(codecs.flags)) return;
  const Digest model = local->Loaded().transformer->WeightsDigest();
  const std::string choice = engine::WriteChoice(local->Codecs(), model, local->Config());
  manifest["kv_choice"] = choice;
  manifest["kv_choice_digest"] = DigestOf(choice).Hex();
}

void LoadCodecs(const journal::Journal& journal, engine::LocalOptions& options) {
  const auto choice = journal.GetManifest().find("kv_choice");
  if (choice == journal.GetManifest().end() || choice->second.empty()) return;
  const std::string& digest = journal.ManifestValue("kv_choice_digest");
  if (DigestOf(choice->second).Hex() != digest) {
    throw MakeError(ErrorCode::kCorrupt, "journal {}: its KV codecs have the digest {}, it says {}",
                    journal.Path(), DigestOf(choice->second).Hex(), digest);
  }
  options.kv_choice = choice->second;
  options.kv_choice_in = "journal " + journal.Path();
}

}  // namespace

void NoteEmbedder(const effects::Embedder* embedder, journal::Manifest& manifest) {
  if (embedder != nullptr) manifest[kEmbedderKey] = embedder->Identity();
}

void CheckEmbedder(const journal::Journal& journal, const effects::Embedder* embedder) {
  if (embedder == nullptr) return;
  const auto before = journal.GetManifest().find(kEmbedderKey);
  const std::string identity = embedder->Identity();
  if (before == journal.GetManifest().end() || before->second == identity) return;
  throw MakeError(
      ErrorCode::kInvalid,
      "journal {}: its memories have the embeddings of another model ({}), which those of this one "
      "({}) cannot be compared with",
      journal.Path(), before->second, identity);
}

journal::Manifest ManifestOf(const Limits& limits) {
  Limits copy = limits;
  journal::Manifest manifest;
  for (const Field& field : FieldsOf(copy)) manifest[field.key] = field.get();
  return manifest;
}

journal::Manifest ManifestOf(const Simulation& simulation, const Scenario& scenario, const llm::Llm& llm) {
  Simulation copy = simulation;
  journal::Manifest manifest = ManifestOf(simulation.limits);
  for (const Field& field : FieldsOf(copy)) manifest[field.key] = field.get();
  manifest[journal::JournalKeys::kSecondsPerStep] = std::to_string(scenario.seconds_per_step);
  manifest[journal::JournalKeys::kStart] = scenario.ClockAt(0);
  StoreCodecs(llm, manifest);
  return manifest;
}

void FillFromManifest(const journal::Journal& journal, const GivenFlags& given, Simulation& simulation) {
  const auto language = journal.GetManifest().find(journal::JournalKeys::kLanguage);
  if (language != journal.GetManifest().end()) {
    throw MakeError(
        ErrorCode::kInvalid,
        "journal {}: its world, {}, is written in {}, which only a program in {} can load; go on there "
        "with throng.run(world, ..., journal={:?}, resume=True), whose result has everybody's mind",
        journal.Path(), journal.ManifestValue(journal::JournalKeys::kWorld), language->second,
        language->second, journal.Path());
  }
  const auto embed = journal.GetManifest().find("embed");
  if (given("--embed") && (embed == journal.GetManifest().end() || embed->second.empty())) {
    throw MakeError(ErrorCode::kInvalid,
                    "journal {}: its people recall by words, and --embed would be another run; allowed: "
                    "without --embed",
                    journal.Path());
  }
  std::vector<Field> fields = FieldsOf(simulation);
  for (Field& field : FieldsOf(simulation.limits)) fields.push_back(std::move(field));
  for (Field& field : OwnFieldsOf(simulation)) fields.push_back(std::move(field));
  for (const Field& field : fields) {
    const auto stored = journal.GetManifest().find(field.key);
    if (stored == journal.GetManifest().end() || (field.flag != nullptr && given(field.flag))) continue;
    if (!field.set(stored->second)) {
      throw MakeError(ErrorCode::kCorrupt, "journal {}: its manifest says {} {:?}, which cannot be",
                      journal.Path(), field.key, stored->second);
    }
  }
  const sim::Seeds seeds = journal.GetSeeds();
  simulation.seed = seeds.first;
  simulation.seed_changes = seeds.changes;
  const bool other_codecs =
      given("--model") || given("--kv") || given("--k") || given("--v") || given("--softmax");
  if (!other_codecs) LoadCodecs(journal, simulation.local);
}

}  // namespace throng::app
