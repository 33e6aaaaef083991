// throng tokenize: text to token ids, or back.

#include <charconv>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "cli/cli11.h"
#include "cli/commands.h"
#include "cli/stdout.h"
#include "model/chat_template.h"
#include "model/gguf/gguf.h"
#include "model/tokenizer/tokenizer.h"

namespace throng::cli {
namespace {

struct Options {
  std::string model;
  bool decode = false;
  bool bos = false;
  bool special = false;
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
      throw MakeError(ErrorCode::kInvalid, "standard input has \"{}\" where a token id is expected",
                      word.substr(0, 40));
    }
    ids.push_back(id);
    text.remove_prefix(word.size());
  }
  return ids;
}

void Run(const Options& options) {
  const model::GgufFile file(options.model);
  const model::Tokenizer tokenizer = model::LoadTokenizer(file, model::ChatTemplate::FromGguf(file));
  const std::string input = ReadStdin();
  if (options.decode) {
    WriteStdout(tokenizer.Decode(ParseIds(input)));
    return;
  }
  std::string line;
  for (const int32_t id : tokenizer.Encode(input, {options.bos, options.special})) {
    if (!line.empty()) line += ' ';
    line += std::to_string(id);
  }
  WriteStdout(line + "\n");
}

}  // namespace

void AddTokenize(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "tokenize",
      "Turn text on standard input into the token ids of a model, or ids back into text with --decode");
  const auto options = std::make_shared<Options>();
  command->add_option("-m,--model", options->model, "GGUF file; its vocabulary is enough")->required();
  auto* decode =
      command->add_flag("--decode", options->decode, "Read token ids, write the text that they stand for");
  command->add_flag("--bos", options->bos, "Begin with the model's BOS token")->excludes(decode);
  command
      ->add_flag("--special", options->special,
                 "Names of control tokens in the text become these tokens, not plain text")
      ->excludes(decode);
  command->footer(
      "All bytes of the input count, the last line break too.\n"
      "Example:\n"
      "  printf 'Hello world' | throng tokenize -m model.gguf | throng tokenize -m model.gguf --decode");
  command->callback([options] { Run(*options); });
}

}  // namespace throng::cli
