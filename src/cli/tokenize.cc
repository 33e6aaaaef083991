// throng tokenize: text to token ids, or back.

#include <fmt/ranges.h>

#include <charconv>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/mapped_file.h"
#include "base/text/utf8.h"
#include "cli/cli11.h"
#include "cli/commands.h"
#include "cli/stdout.h"
#include "model/chat_template.h"
#include "model/folder/folder.h"
#include "model/gguf/gguf.h"
#include "model/tokenizer/tokenizer.h"

namespace throng::cli {
namespace {

struct Options {
  std::string model;
  std::string file;
  bool decode = false;
  bool bos = false;
  bool eos = false;
  bool special = false;
  bool pieces = false;
  bool json = false;
  bool count = false;
};

std::string ReadStdin() {
  std::string text;
  char buffer[1 << 16];
  for (size_t n; (n = std::fread(buffer, 1, sizeof buffer, stdin)) > 0;) text.append(buffer, n);
  if (std::ferror(stdin)) throw MakeError(ErrorCode::kIo, "standard input cannot be read");
  return text;
}

std::vector<int32_t> ParseIds(std::string_view text) {
  constexpr std::string_view kSpaces = " \t\r\n,";
  std::vector<int32_t> ids;
  for (size_t pos; (pos = text.find_first_not_of(kSpaces)) != std::string_view::npos;) {
    text.remove_prefix(pos);
    const std::string_view word = text.substr(0, text.find_first_of(kSpaces));
    int32_t id = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), id);
    if (error != std::errc() || end != word.data() + word.size()) {
      throw MakeError(ErrorCode::kInvalid, "the input has \"{}\" where a token id is expected",
                      word.substr(0, 40));
    }
    ids.push_back(id);
    text.remove_prefix(word.size());
  }
  return ids;
}

// The bytes of a token as JSON: a string, or a list of numbers if they are no whole characters.
nlohmann::json Piece(const model::Tokenizer& tokenizer, int32_t id) {
  const std::string& bytes = tokenizer.TokenBytes(id);
  if (ValidUtf8Prefix(bytes) == bytes.size()) return bytes;
  nlohmann::json list = nlohmann::json::array();
  for (const char byte : bytes) list.push_back(static_cast<uint8_t>(byte));
  return list;
}

std::string Name(const model::Tokenizer& tokenizer, int32_t id) {
  return ReplaceInvalidUtf8(tokenizer.TokenName(id));
}

std::string PiecesText(const model::Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  std::string text;
  for (const int32_t id : ids) {
    // A control token stands for no text, so its name is shown.
    const std::string piece =
        tokenizer.TokenBytes(id).empty() ? Name(tokenizer, id) : Piece(tokenizer, id).dump();
    text += fmt::format("{}\t{}\n", id, piece);
  }
  return text;
}

std::string JsonText(const model::Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  nlohmann::ordered_json tokens = nlohmann::json::array();
  for (const int32_t id : ids) {
    nlohmann::ordered_json token = {{"id", id}, {"piece", Piece(tokenizer, id)}};
    if (tokenizer.TokenBytes(id).empty()) token["name"] = Name(tokenizer, id);
    tokens.push_back(std::move(token));
  }
  const nlohmann::ordered_json all = {{"count", ids.size()}, {"tokens", std::move(tokens)}};
  return all.dump() + "\n";
}

std::string IdsText(const std::vector<int32_t>& ids) { return fmt::format("{}\n", fmt::join(ids, " ")); }

void Run(const Options& options) {
  const std::unique_ptr<model::GgufFile> file = model::OpenVocabulary(options.model);
  const model::Tokenizer tokenizer = model::LoadTokenizer(*file, model::ChatTemplate::FromGguf(*file));
  const std::string input = options.file.empty() ? ReadStdin() : ReadFile(options.file);
  if (options.decode) {
    WriteStdout(tokenizer.Decode(ParseIds(input)));
    return;
  }
  const std::vector<int32_t> ids = tokenizer.Encode(
      input, {.add_bos = options.bos, .parse_special = options.special, .add_eos = options.eos});
  if (options.count) {
    WriteStdout(fmt::format("{}\n", ids.size()));
  } else if (options.json) {
    WriteStdout(JsonText(tokenizer, ids));
  } else {
    WriteStdout(options.pieces ? PiecesText(tokenizer, ids) : IdsText(ids));
  }
}

}  // namespace

void AddTokenize(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "tokenize", "Turn text into the token ids of a model, or ids back into text with --decode");
  const auto options = std::make_shared<Options>();
  command->add_option("-m,--model", options->model, "GGUF file or folder; its vocabulary is enough")
      ->required();
  command->add_option("-f,--file", options->file, "Read this file instead of standard input");
  auto* decode =
      command->add_flag("--decode", options->decode, "Read token ids, write the text that they stand for");
  command->add_flag("--bos", options->bos, "Begin with the model's BOS token")->excludes(decode);
  command->add_flag("--eos", options->eos, "End with the model's EOS token")->excludes(decode);
  command
      ->add_flag("--special", options->special,
                 "Names of control tokens in the text become these tokens, not plain text")
      ->excludes(decode);
  auto* pieces =
      command->add_flag("--pieces", options->pieces, "A line for each token: its id, and its text as JSON")
          ->excludes(decode);
  auto* json = command->add_flag("--json", options->json, "The same as one JSON object, with their number")
                   ->excludes(decode)
                   ->excludes(pieces);
  command->add_flag("--count", options->count, "Only how many tokens the text has")
      ->excludes(decode)
      ->excludes(pieces)
      ->excludes(json);
  command->footer(
      "All bytes of the input count, the last line break too. Bytes that are no whole characters are\n"
      "shown as a list of numbers.\n"
      "Examples:\n"
      "  printf 'Hello world' | throng tokenize -m model.gguf | throng tokenize -m model.gguf --decode\n"
      "  throng tokenize -m model.gguf -f prompt.txt --count");
  command->callback([options] { Run(*options); });
}

}  // namespace throng::cli
