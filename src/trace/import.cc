#include "trace/import.h"

#include <algorithm>
#include <charconv>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <locale>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/error.h"

namespace throng::trace {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr int kVilleWidth = 140;
constexpr int kVilleHeight = 100;
constexpr int64_t kMaxInteger = 1'000'000'000;

Json ReadJson(const fs::path& path) {
  std::ifstream file(path);
  if (!file || fs::is_directory(path)) throw MakeError(ErrorCode::kIo, "{}: cannot open", path.string());
  Json json = Json::parse(file, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) throw MakeError(ErrorCode::kInvalid, "{}: is not a JSON object", path.string());
  return json;
}

// Whether it is an integer in the range of trace.h's format; the parser checks the tighter limits.
bool Fits(const Json& json) {
  if (json.is_number_unsigned()) return json.get<uint64_t>() <= uint64_t{kMaxInteger};
  return json.is_number_integer() && json.get<int64_t>() >= -kMaxInteger;
}

// Builds lines in the format of trace.h from what each agent does at each step.
class Converter {
 public:
  explicit Converter(std::string source) : source_(std::move(source)) {}

  void Meta(const fs::path& path) {
    const Json meta = ReadJson(path);
    if (const auto sec = meta.find("sec_per_step"); sec != meta.end()) {
      if (!Fits(*sec)) {
        throw MakeError(ErrorCode::kInvalid, "{}: sec_per_step is {}; allowed: an integer from 1 to 86400",
                        path.string(), sec->dump().substr(0, 40));
      }
      sec_per_step_ = sec->get<int>();
    }
    if (const auto start = meta.find("start_date"); start != meta.end() && start->is_string()) {
      start_ = StartOf(start->get<std::string>());
    }
  }

  // `moves` maps names to {"movement":[x,y],"description":...,"chat":...}.
  void Step(int64_t step, const Json& moves) {
    if (!moves.is_object())
      throw MakeError(ErrorCode::kInvalid, "{}: step {} is no JSON object", source_, step);
    Json moved = Json::array();
    Json actions = Json::array();
    for (const auto& [name, move] : moves.items()) {
      const auto [it, is_new] = ids_.emplace(name, ids_.size());
      if (is_new) names_.push_back(name);
      const Json pos = move.is_object() ? move.value("movement", Json()) : Json();
      if (!pos.is_array() || pos.size() != 2 || !Fits(pos[0]) || !Fits(pos[1])) {
        throw MakeError(ErrorCode::kInvalid, "{}: step {}: {} has no \"movement\", [x, y] of a map", source_,
                        step, name);
      }
      width_ = std::max(width_, pos[0].get<int>() + 1);
      height_ = std::max(height_, pos[1].get<int>() + 1);
      if (last_pos_[name] != pos) moved.push_back({it->second, pos[0], pos[1]});
      last_pos_[name] = pos;
      const Json action = move.value("description", Json());
      if (action.is_string()) {
        actions.push_back(
            {{"s", step}, {"a", it->second}, {"action", action}, {"chat", move.value("chat", Json())}});
      }
    }
    lines_ += Json{{"s", step}, {"m", moved}}.dump() + "\n";
    for (const Json& action : actions)
      lines_ += action.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
    last_step_ = step;
  }

  Trace Finish() const {
    const Json header = {
        {"agents", names_},          {"steps", last_step_ + 1}, {"sec_per_step", sec_per_step_},
        {"grid", {width_, height_}}, {"start", start_},         {"source", source_}};
    return ParseTrace(header.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n" + lines_, source_);
  }

 private:
  // Turns "February 13, 2023" into "2023-02-13T00:00:00"; empty if it cannot be parsed.
  static std::string StartOf(const std::string& date) {
    std::tm time{};
    std::istringstream text(date);
    text.imbue(std::locale::classic());
    text >> std::get_time(&time, "%B %d, %Y");
    if (text.fail()) return "";
    return fmt::format("{:04}-{:02}-{:02}T00:00:00", time.tm_year + 1900, time.tm_mon + 1, time.tm_mday);
  }

  std::string source_;
  std::string start_;
  int sec_per_step_ = 10;
  int width_ = kVilleWidth;
  int height_ = kVilleHeight;
  std::map<std::string, size_t> ids_;
  std::vector<std::string> names_;
  std::map<std::string, Json> last_pos_;
  std::string lines_;
  int64_t last_step_ = -1;
};

// The entries whose names are numbers, ascending.
template <typename Value>
std::map<int64_t, Value> Numbered(const std::vector<std::pair<std::string, Value>>& entries) {
  std::map<int64_t, Value> numbered;
  for (const auto& [name, value] : entries) {
    int64_t number = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (error == std::errc() && end == name.data() + name.size() && number >= 0)
      numbered.emplace(number, value);
  }
  return numbered;
}

Trace ImportCompressed(const fs::path& path) {
  Converter converter(path.string());
  const fs::path meta = path.parent_path() / "meta.json";
  if (fs::exists(meta)) converter.Meta(meta);
  const Json steps = ReadJson(path);
  std::vector<std::pair<std::string, const Json*>> entries;
  for (const auto& [name, moves] : steps.items()) entries.emplace_back(name, &moves);
  for (const auto& [step, moves] : Numbered(entries)) converter.Step(step, *moves);
  return converter.Finish();
}

Trace ImportStorage(const fs::path& folder) {
  Converter converter(folder.string());
  converter.Meta(folder / "reverie" / "meta.json");
  std::vector<std::pair<std::string, fs::path>> entries;
  for (const auto& entry : fs::directory_iterator(folder / "movement")) {
    if (entry.path().extension() == ".json") entries.emplace_back(entry.path().stem().string(), entry.path());
  }
  const auto files = Numbered(entries);
  if (files.empty()) {
    throw MakeError(ErrorCode::kInvalid, "{}: there is no STEP.json", (folder / "movement").string());
  }
  // A forked simulation begins at a later step; a trace begins at 0.
  const int64_t first = files.begin()->first;
  for (const auto& [step, path] : files)
    converter.Step(step - first, ReadJson(path).value("persona", Json()));
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
