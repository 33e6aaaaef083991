// Constrained answers by a collection of JSON schemas: what compiles, whether instances are judged rightly,
// and what masks cost. docs/constrained-answers.md says how to repeat its figures.
//
// Usage: schema_bench VOCABULARY.gguf FOLDER [NAME]: all files of the folder, or those whose names begin with
// NAME and each wrong instance besides. A file is as JSONSchemaBench writes them: {"schema": {...}, "tests":
// [{"valid": true, "data": ...}]}.
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/error.h"
#include "engine/sampling/constrain.h"
#include "llm/answer/schema_check.h"
#include "model/gguf/gguf.h"
#include "model/tokenizer/tokenizer.h"

namespace throng::engine {
namespace {

using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

double MicrosecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double, std::micro>(Clock::now() - begin).count();
}

struct Figures {
  int schemas = 0, compiled = 0;
  int valid = 0, rejected = 0;    // valid instances, and those of them that cannot be answers
  int invalid = 0, accepted = 0;  // invalid instances, and those of them that can
  std::vector<double> compile_us, mask_us, first_us;
  std::map<std::string, int> refusals;
};

void PrintTimes(const char* what, std::vector<double> us) {
  if (us.empty()) return;
  std::sort(us.begin(), us.end());
  const auto at = [&](double part) {
    return us[static_cast<size_t>(part * static_cast<double>(us.size() - 1))];
  };
  double sum = 0;
  for (const double each : us) sum += each;
  fmt::print(
      "{:24} {:9} times: median {:.1f} us, mean {:.1f}, p90 {:.1f}, p99 {:.1f}, p99.9 {:.1f}, most {:.1f}\n",
      what, us.size(), at(0.5), sum / static_cast<double>(us.size()), at(0.9), at(0.99), at(0.999),
      us.back());
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
    std::shared_ptr<Constraint> constraint;
    const auto begin = Clock::now();
    try {
      constraint = Compile(schema);
    } catch (const Error& error) {
      ++figures.refusals[KindOf(error.what())];
      if (verbose_) fmt::print("{}: refused: {}\n", path.filename().string(), error.what());
      return;
    }
    figures.compile_us.push_back(MicrosecondsSince(begin));
    if (figures.compile_us.back() > 100'000 && verbose_)
      fmt::print("{}: compiled in {:.0f} ms\n", path.filename().string(), figures.compile_us.back() / 1000);
    ++figures.compiled;
    std::unique_ptr<llm::SchemaCheck> check;
    try {
      check = std::make_unique<llm::SchemaCheck>(schema);
    } catch (const Error&) {
      // Then instances are taken as they are written.
    }
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
  }

 private:
  std::shared_ptr<Constraint> Compile(const std::string& schema) const {
    llm::Constraint spec;
    spec.json_schema = schema;
    return std::make_shared<Constraint>(spec, vocabulary_);
  }

  bool Accepts(const std::shared_ptr<Constraint>& constraint, const std::string& text, Figures& figures) {
    std::vector<uint64_t> mask(vocabulary_->MaskWords());
    Matcher matcher(constraint);
    failed_at_ = 0;
    bool is_first = true;
    for (const int32_t token : tokenizer_.Encode(text)) {
      const auto begin = Clock::now();
      matcher.AllowedTokens(mask);
      const double us = MicrosecondsSince(begin);
      figures.mask_us.push_back(us);
      if (is_first) figures.first_us.push_back(us);
      is_first = false;
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
  Figures figures;
  for (const std::filesystem::path& path : paths) bench.Run(path, figures);
  fmt::print("{} schemas: {} compiled, {} refused\n", figures.schemas, figures.compiled,
             figures.schemas - figures.compiled);
  fmt::print("{} valid instances: {} rejected\n{} invalid instances: {} accepted\n", figures.valid,
             figures.rejected, figures.invalid, figures.accepted);
  PrintTimes("compile", figures.compile_us);
  PrintTimes("mask", figures.mask_us);
  PrintTimes("first mask of an answer", figures.first_us);
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
