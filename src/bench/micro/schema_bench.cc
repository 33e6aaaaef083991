// Constrained answers by a collection of JSON schemas: what compiles, whether instances are judged rightly,
// and what masks cost. docs/constrained-answers.md says how to repeat its figures.
//
// Usage: schema_bench VOCABULARY.gguf FOLDER [NAME]: all files of the folder, or those whose names begin with
// NAME and each refusal, wrong instance and slow step besides. A file is as JSONSchemaBench writes them:
// {"schema": {...}, "tests": [{"valid": true, "data": ...}]}.
#include <fmt/core.h>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <sstream>

#include "base/error.h"
#include "engine/sampling/constraint_cache.h"
#include "llm/answer/schema_check.h"
#include "model/gguf/gguf.h"
#include "model/tokenizer/tokenizer.h"

namespace throng::engine {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kSlow = 20'000;  // microseconds; what is slower is named
constexpr double kSlowMask = 2'000;

// Of this thread alone: what else the machine does does not count.
double Microseconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

// Processor times in microseconds.
class Times {
 public:
  void Add(double us) { us_.push_back(us), is_sorted_ = false; }
  void Add(const Times& more) {
    us_.insert(us_.end(), more.us_.begin(), more.us_.end());
    is_sorted_ = false;
  }
  size_t Count() const { return us_.size(); }
  double Mean() const {
    return us_.empty() ? 0 : std::accumulate(us_.begin(), us_.end(), 0.0) / double(us_.size());
  }
  // The time that this part of them does not exceed; 1: the most.
  double At(double part) {
    if (us_.empty()) return 0;
    if (!is_sorted_) std::sort(us_.begin(), us_.end());
    is_sorted_ = true;
    return us_[static_cast<size_t>(part * static_cast<double>(us_.size() - 1))];
  }

 private:
  std::vector<double> us_;
  bool is_sorted_ = false;
};

struct Figures {
  int schemas = 0, compiled = 0, passing = 0;  // passing: compiled, and all instances judged rightly
  int valid = 0, rejected = 0;                 // valid instances, and those of them that cannot be answers
  int invalid = 0, accepted = 0;               // invalid instances, and those of them that can
  Times compile, mask;
  std::map<std::string, int> refusals;

  void Add(const Figures& more) {
    schemas += more.schemas, compiled += more.compiled, passing += more.passing;
    valid += more.valid, rejected += more.rejected;
    invalid += more.invalid, accepted += more.accepted;
    compile.Add(more.compile), mask.Add(more.mask);
    for (const auto& [kind, count] : more.refusals) refusals[kind] += count;
  }
};

// A row of the table in docs/constrained-answers.md.
void PrintRow(const std::string& name, Figures& of) {
  fmt::print(
      "| {} | {} | {} | {} | {} of {} | {} of {} | {:.1f} | {:.1f} | {:.0f} | {} | {:.0f} | {:.0f} | {:.0f} "
      "| {:.0f} |\n",
      name, of.schemas, of.compiled, of.passing, of.rejected, of.valid, of.accepted, of.invalid,
      of.compile.At(0.5) / 1e3, of.compile.At(0.99) / 1e3, of.compile.At(1) / 1e3, of.mask.Count(),
      of.mask.At(0.5), of.mask.At(0.9), of.mask.At(0.99), of.mask.At(1));
}

// The keyword and what is said of it, without the place.
std::string KindOf(const std::string& error) {
  std::string kind;
  std::istringstream words(error);
  for (std::string word; words >> word;) {
    if (word.starts_with("#")) {
      const size_t slash = word.rfind('/');
      word = slash == word.npos ? "#" : "#.../" + word.substr(slash + 1);
    }
    if (word.find_first_of("0123456789\"") != word.npos) word = "N";
    kind += (kind.empty() ? "" : " ") + word;
  }
  return kind.substr(0, 110);
}

// As the files are named: FAMILY---NAME.json, or FAMILY_NAME.json.
std::string FamilyOf(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  const size_t end = name.find("---");
  return end != name.npos ? name.substr(0, end) : name.substr(0, name.find('_'));
}

class Bench {
 public:
  Bench(const std::string& path, bool verbose) : file_(path), tokenizer_(file_), verbose_(verbose) {
    std::vector<std::string> bytes;
    for (int32_t id = 0; id < tokenizer_.VocabSize(); ++id) bytes.push_back(tokenizer_.TokenBytes(id));
    vocabulary_ = std::make_shared<Vocabulary>(bytes, tokenizer_.EndOfGeneration());
    Compile(R"({"type":"null"})");  // makes the trie
  }

  void Run(const std::filesystem::path& path, Figures& figures) {
    std::ifstream stream(path);
    const Json test = Json::parse(stream, nullptr, /*allow_exceptions=*/false);
    if (!test.is_object() || !test.contains("schema")) return;
    const std::string schema = test["schema"].dump();
    ++figures.schemas;
    file_name_ = path.filename().string();
    std::shared_ptr<Constraint> constraint;
    const double begin = Microseconds();
    std::string refusal;
    try {
      constraint = Compile(schema);
    } catch (const Error& error) {
      refusal = error.what();
    }
    const double us = Microseconds() - begin;
    if (us > kSlow && verbose_) fmt::print("{}: {:.0f} ms to compile\n", file_name_, us / 1e3);
    figures.compile.Add(us);
    if (!refusal.empty()) {
      ++figures.refusals[KindOf(refusal)];
      if (verbose_) fmt::print("{}: refused: {}\n", file_name_, refusal);
      return;
    }
    ++figures.compiled;
    std::unique_ptr<llm::SchemaCheck> check;
    try {
      check = std::make_unique<llm::SchemaCheck>(schema);
    } catch (const Error&) {
      // Then instances are taken as they are written.
    }
    const int wrong_before = figures.rejected + figures.accepted;
    for (const Json& one : test.value("tests", Json::array())) {
      const bool is_valid = one.value("valid", true);
      const std::string text = (check && is_valid ? check->InForm(one["data"]) : one["data"]).dump();
      const bool is_accepted = Accepts(constraint, text, figures);
      ++(is_valid ? figures.valid : figures.invalid);
      if (is_valid == is_accepted) continue;
      ++(is_valid ? figures.rejected : figures.accepted);
      if (verbose_)
        fmt::print("{}: {} {}: {}\n", path.filename().string(),
                   is_valid ? "rejects valid" : "ACCEPTS INVALID", failed_at_, text.substr(0, 300));
    }
    figures.passing += figures.rejected + figures.accepted == wrong_before;
  }

 private:
  std::shared_ptr<Constraint> Compile(const std::string& schema) const {
    llm::Constraint spec;
    spec.json_schema = schema;
    return ConstraintCache(vocabulary_, 1).Get(spec);
  }

  bool Accepts(const std::shared_ptr<Constraint>& constraint, const std::string& text, Figures& figures) {
    std::vector<uint64_t> mask(vocabulary_->MaskWords());
    Matcher matcher(constraint);
    failed_at_ = 0;
    for (const int32_t token : tokenizer_.Encode(text)) {
      const double begin = Microseconds();
      matcher.AllowedTokens(mask);
      const double us = Microseconds() - begin;
      figures.mask.Add(us);
      if (us > kSlowMask && verbose_)
        fmt::print("{}: a mask in {:.0f} us after {} bytes\n", file_name_, us, failed_at_);
      const bool allowed = (mask[static_cast<size_t>(token) / 64] >> (token & 63) & 1) != 0;
      if (allowed != matcher.Accept(token)) throw MakeError(ErrorCode::kCorrupt, "a mask is wrong: {}", text);
      if (!allowed) return false;
      failed_at_ += vocabulary_->Bytes(token).size();
    }
    return matcher.IsComplete();
  }

  model::GgufFile file_;
  model::Tokenizer tokenizer_;
  std::shared_ptr<const Vocabulary> vocabulary_;
  bool verbose_;
  std::string file_name_;
  size_t failed_at_ = 0;
};

int Main(const std::string& vocabulary, const std::string& folder, const std::string& name) {
  Bench bench(vocabulary, !name.empty());
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".json" && entry.path().filename().string().starts_with(name))
      paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  std::map<std::string, Figures> families;
  for (const std::filesystem::path& path : paths) bench.Run(path, families[FamilyOf(path)]);
  fmt::print(
      "| family | schemas | compiled | passing | valid, rejected | invalid, accepted | compile: median ms | "
      "p99 | most | "
      "masks | median us | p90 | p99 | most |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n");
  Figures figures;
  for (auto& [family, of] : families) {
    PrintRow(family, of);
    figures.Add(of);
  }
  PrintRow("all", figures);
  fmt::print("mask: mean {:.1f} us, p99.9 {:.0f} us; compile: mean {:.2f} ms, p99.9 {:.1f} ms\n",
             figures.mask.Mean(), figures.mask.At(0.999), figures.compile.Mean() / 1e3,
             figures.compile.At(0.999) / 1e3);
  std::vector<std::pair<int, std::string>> refusals;
  for (const auto& [kind, count] : figures.refusals) refusals.emplace_back(count, kind);
  std::sort(refusals.rbegin(), refusals.rend());
  for (const auto& [count, kind] : refusals) fmt::print("{:6} {}\n", count, kind);
  return 0;
}

}  // namespace
}  // namespace throng::engine

int main(int argc, char** argv) {
  if (argc != 3 && argc != 4) {
    fmt::print(stderr, "usage: schema_bench VOCABULARY.gguf FOLDER [NAME]\n");
    return 2;
  }
  try {
    return throng::engine::Main(argv[1], argv[2], argc == 4 ? argv[3] : "");
  } catch (const std::exception& error) {
    fmt::print(stderr, "schema_bench: {}\n", error.what());
    return 1;
  }
}
