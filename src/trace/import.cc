#include "trace/import.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"

namespace throng::trace {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr int kVilleWidth = 140;
constexpr int kVilleHeight = 100;
constexpr size_t kMaxShown = 40;

template <typename... Args>
[[noreturn]] void Refuse(const std::string& where, fmt::format_string<Args...> format, Args&&... args) {
  throw MakeError(ErrorCode::kInvalid, "{}: {}", where, fmt::format(format, std::forward<Args>(args)...));
}

std::string Shown(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, kMaxShown);
}

Json ReadJson(const fs::path& path) {
  std::ifstream file(path);
  if (!file || fs::is_directory(path)) throw MakeError(ErrorCode::kIo, "{}: cannot open", path.string());
  Json json = Json::parse(file, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) Refuse(path.string(), "is not a JSON object");
  return json;
}

// The value of an object, null if it has none.
const Json& Get(const Json& object, const char* key) {
  static const Json kNull;
  const auto found = object.find(key);
  return found == object.end() ? kNull : *found;
}

// A whole number in [min, max], written as 72 or 72.0.
std::optional<int64_t> Whole(const Json& json, int64_t min, int64_t max) {
  if (!json.is_number()) return std::nullopt;
  const double value = json.get<double>();  // exact within the limits of a trace
  if (value != std::floor(value) || value < static_cast<double>(min) || value > static_cast<double>(max))
    return std::nullopt;
  return static_cast<int64_t>(value);
}

// What the head of a recording says.
struct Head {
  static Head Read(const fs::path& path) {
    const Json meta = ReadJson(path);
    const std::string where = path.string();
    Head head;
    head.path = where;
    const auto whole = [&](const char* key, int64_t min, int64_t max) -> std::optional<int64_t> {
      const Json& value = Get(meta, key);
      if (value.is_null()) return std::nullopt;
      const std::optional<int64_t> number = Whole(value, min, max);
      if (!number)
        Refuse(where, "{} is {}; allowed: a whole number from {} to {}", key, Shown(value), min, max);
      return number;
    };
    head.sec_per_step = static_cast<int>(whole("sec_per_step", 1, 86400).value_or(head.sec_per_step));
    head.step = whole("step", 0, kMaxTraceSteps);
    head.start_date = TimeOf(meta, "start_date", where);
    head.curr_time = TimeOf(meta, "curr_time", where);
    const Json& names = Get(meta, "persona_names");
    if (names.is_null()) return head;
    const auto is_name = [](const Json& name) { return name.is_string(); };
    if (!names.is_array() || !std::all_of(names.begin(), names.end(), is_name))
      Refuse(where, "persona_names is {}; allowed: a list of names", Shown(names));
    head.people = names.get<std::vector<std::string>>();
    return head;
  }

  // Of a JSON object's value; nothing if it has none.
  static std::optional<LocalTime> TimeOf(const Json& json, const char* key, const std::string& where) {
    const Json& value = Get(json, key);
    if (value.is_null()) return std::nullopt;
    std::optional<LocalTime> time;
    if (value.is_string()) time = LocalTime::ParseRecorded(value.get<std::string>());
    if (!time) {
      Refuse(where, "{} is {}; allowed: a time such as \"March 6, 2023, 08:00:30\" or 2023-03-06T08:00:30",
             key, Shown(value));
    }
    return time;
  }

  // When a step was. Nothing if the recording has no date at all.
  std::optional<LocalTime> TimeOfStep(int64_t at) const {
    if (curr_time && step) return curr_time->After((at - *step) * sec_per_step);
    if (at == 0) return start_date;
    if (!start_date && !curr_time) return std::nullopt;
    Refuse(path, "it does not say when step {} was, the first one recorded: curr_time and step would", at);
  }

  std::string path;
  int sec_per_step = 10;        // the original engine's
  std::optional<int64_t> step;  // the one that begins at curr_time
  std::optional<LocalTime> curr_time;
  std::optional<LocalTime> start_date;  // when step 0 began
  std::vector<std::string> people;
};

// One step as it was recorded.
struct Recorded {
  int64_t step;
  std::string where;   // for messages
  const Json& people;  // maps names to {"movement":[x,y],"description":...,"chat":...}
};

// Builds lines in the format of trace.h from what each person does at each step.
class Converter {
 public:
  Converter(std::string source, Head head) : source_(std::move(source)), head_(std::move(head)) {}

  // Steps ascend; `time` is when it was, if the recording says so. In a sparse recording, who does nothing
  // new is left out; else everybody is in every step.
  void Add(const Recorded& recorded, bool sparse, std::optional<LocalTime> time = std::nullopt) {
    if (!recorded.people.is_object()) Refuse(recorded.where, "it has no people, a JSON object by name");
    if (recorded.step >= kMaxTraceSteps)
      Refuse(recorded.where, "allowed: steps from 0 to {}", kMaxTraceSteps - 1);
    if (ids_.empty()) Begin(recorded, time.has_value());
    const int64_t step = recorded.step - first_step_;
    const int64_t seconds = step * head_.sec_per_step;
    if (time && !start_) start_ = time->After(-seconds);
    if (time && *time != start_->After(seconds)) {
      Refuse(recorded.where, "it was at {}, but {} steps of {} s after {} it is {}", time->Text(), step,
             head_.sec_per_step, start_->Text(), start_->After(seconds).Text());
    }
    for (const auto& [name, id] : ids_) {
      if (!sparse && !recorded.people.contains(name)) {
        Refuse(recorded.where, "{} is not there, but in {}; allowed: people who are there in all steps", name,
               last_where_);
      }
    }
    Json moved = Json::array();
    std::string actions;
    for (const auto& [name, does] : recorded.people.items()) {
      const auto person = ids_.find(name);
      if (person == ids_.end()) {
        Refuse(recorded.where, "{} is there, but not in {}; allowed: people who are there in all steps", name,
               first_where_);
      }
      Move(recorded, person->second, name, does, moved);
      actions += Action(recorded, person->second, name, does);
    }
    lines_ += Json{{"s", step}, {"m", moved}}.dump() + "\n" + actions;
    last_step_ = step;
    last_where_ = recorded.where;
  }

  Trace Finish() const {
    Json header = {{"agents", names_},
                   {"steps", last_step_ + 1},
                   {"sec_per_step", head_.sec_per_step},
                   {"grid", {width_, height_}},
                   {"source", source_}};
    if (start_) header["start"] = start_->Text();
    return ParseTrace(header.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n" + lines_, source_);
  }

 private:
  void Begin(const Recorded& recorded, bool says_time) {
    for (const std::string& name : head_.people) {
      if (recorded.people.contains(name)) continue;
      Refuse(recorded.where, "{} is not there, whom {} names; allowed: people who are there in all steps",
             name, head_.path);
    }
    for (const auto& [name, does] : recorded.people.items()) {
      ids_.emplace(name, names_.size());
      names_.push_back(name);
    }
    if (names_.empty()) Refuse(recorded.where, "nobody is there");
    positions_.resize(names_.size(), {-1, -1});
    first_step_ = recorded.step;
    first_where_ = recorded.where;
    if (!says_time) start_ = head_.TimeOfStep(recorded.step);
  }

  void Move(const Recorded& recorded, size_t id, const std::string& name, const Json& does, Json& moved) {
    const Json& movement = Get(does, "movement");
    std::optional<int64_t> x;
    std::optional<int64_t> y;
    if (movement.is_array() && movement.size() == 2) {
      x = Whole(movement[0], 0, kMaxTraceSide - 1);
      y = Whole(movement[1], 0, kMaxTraceSide - 1);
    }
    if (!x || !y) {
      Refuse(recorded.where, "\"movement\" of {} is {}; allowed: [x, y], whole numbers from 0 to {}", name,
             Shown(movement), kMaxTraceSide - 1);
    }
    width_ = std::max(width_, static_cast<int>(*x) + 1);
    height_ = std::max(height_, static_cast<int>(*y) + 1);
    const std::pair position(*x, *y);
    if (position != std::exchange(positions_[id], position)) moved.push_back({id, *x, *y});
  }

  // The line of what somebody does and says.
  std::string Action(const Recorded& recorded, size_t id, const std::string& name, const Json& does) const {
    const Json& action = Get(does, "description");
    if (!action.is_string())
      Refuse(recorded.where, "\"description\" of {} is {}; allowed: a text", name, Shown(action));
    const Json& chat = Get(does, "chat");
    if (!chat.is_null() && !chat.is_array()) {
      Refuse(recorded.where, "\"chat\" of {} is {}; allowed: null, or a list of [speaker, text]", name,
             Shown(chat));
    }
    for (const Json& line : chat) {
      if (!line.is_array() || line.size() != 2 || !line[0].is_string() || !line[1].is_string()) {
        Refuse(recorded.where, "\"chat\" of {} has {}; allowed: [speaker, text]", name, Shown(line));
      }
      if (ids_.contains(line[0].get_ref<const std::string&>())) continue;
      Refuse(recorded.where, "in the chat of {}, {} speaks, who is not there", name,
             line[0].get<std::string>());
    }
    const Json json = {{"s", recorded.step - first_step_}, {"a", id}, {"action", action}, {"chat", chat}};
    return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  }

  const std::string source_;
  const Head head_;
  std::map<std::string, size_t> ids_;
  std::vector<std::string> names_;
  std::vector<std::pair<int64_t, int64_t>> positions_;  // by id
  int width_ = kVilleWidth;
  int height_ = kVilleHeight;
  std::optional<LocalTime> start_;
  int64_t first_step_ = 0;  // a trace begins at 0
  int64_t last_step_ = 0;   // of the trace
  std::string first_where_;
  std::string last_where_;
  std::string lines_;
};

// The entries whose names are numbers, ascending; others are not the recording's.
template <typename Value>
std::map<int64_t, Value> Numbered(const std::vector<std::pair<std::string, Value>>& entries) {
  std::map<int64_t, Value> numbered;
  for (const auto& [name, value] : entries) {
    int64_t number = 0;
    const std::errc error = std::from_chars(name.data(), name.data() + name.size(), number).ec;
    if (error == std::errc() && number >= 0 && name == std::to_string(number))
      numbered.emplace(number, value);
  }
  return numbered;
}

Trace ImportCompressed(const fs::path& path) {
  const fs::path meta = path.parent_path() / "meta.json";
  Converter converter(path.string(), fs::exists(meta) ? Head::Read(meta) : Head());
  const Json steps = ReadJson(path);
  std::vector<std::pair<std::string, const Json*>> entries;
  for (const auto& [name, people] : steps.items()) entries.emplace_back(name, &people);
  const auto numbered = Numbered(entries);
  if (numbered.empty()) Refuse(path.string(), "it has no steps");
  for (const auto& [step, people] : numbered) {
    converter.Add({step, fmt::format("{}: step {}", path.string(), step), *people}, /*sparse=*/true);
  }
  return converter.Finish();
}

Trace ImportStorage(const fs::path& folder) {
  Converter converter(folder.string(), Head::Read(folder / "reverie" / "meta.json"));
  std::vector<std::pair<std::string, fs::path>> entries;
  for (const auto& entry : fs::directory_iterator(folder / "movement")) {
    if (entry.path().extension() == ".json") entries.emplace_back(entry.path().stem().string(), entry.path());
  }
  const auto files = Numbered(entries);
  if (files.empty()) Refuse((folder / "movement").string(), "there is no STEP.json");
  for (const auto& [step, path] : files) {
    const Json whole = ReadJson(path);
    const std::optional<LocalTime> time = Head::TimeOf(Get(whole, "meta"), "curr_time", path.string());
    converter.Add({step, path.string(), Get(whole, "persona")}, /*sparse=*/false, time);
  }
  return converter.Finish();
}

}  // namespace

Trace ImportTrace(const std::string& path) {
  const fs::path p(path);
  if (!fs::exists(p)) throw MakeError(ErrorCode::kIo, "{}: there is no such file or folder", path);
  if (!fs::is_directory(p)) {
    return p.extension() == ".json" ? ImportCompressed(p) : LoadTrace(path);
  }
  if (fs::exists(p / "master_movement.json")) return ImportCompressed(p / "master_movement.json");
  if (fs::is_directory(p / "movement")) return ImportStorage(p);
  throw MakeError(
      ErrorCode::kInvalid,
      "{}: holds neither master_movement.json nor movement/; allowed: a storage folder of Generative "
      "Agents, its compressed form, or a trace",
      path);
}

}  // namespace throng::trace
