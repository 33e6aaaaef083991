// The table of pre-tokenizers: one row per name in tokenizer.ggml.pre. Expressions are those of the models'
// own files (tokenizer.json, or tiktoken's for kimi-k2) where tests/tokenizer_test.py has them, else what
// llama.cpp uses; docs/tokenizers.md says where the two differ.

#include <fmt/ranges.h>

#include <iterator>

#include "base/error.h"
#include "model/tokenizer/tokenizer_split.h"

namespace throng::model {
namespace {

// White space is spelled out: PCRE2's \s also takes U+180E, which Unicode no longer counts as such.
#define SPACES R"(\x09-\x0D\x20\x85\xA0\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000})"
#define SPACE "[" SPACES "]"
#define NOT_SPACE "[^" SPACES "]"
#define OTHER "[^" SPACES R"(\p{L}\p{N}])"  // neither space nor letter nor number
// A run of spaces leaves its last one to the word that follows.
#define RUN_OF_SPACES SPACE "+(?!" NOT_SPACE ")|" SPACE "+"
#define LINE_BREAKS SPACE R"(*[\r\n]+)"
#define CONTRACTION R"((?i:'s|'t|'re|'ve|'m|'ll|'d))"

// Of GPT-2.
#define GPT2 R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?)" OTHER "+|" RUN_OF_SPACES
// Of GPT-4 and most since: digits are `\p{N}` and how many of them.
#define CL100K(digits) \
  CONTRACTION R"(|[^\r\n\p{L}\p{N}]?\p{L}+|)" digits "| ?" OTHER "+[\\r\\n]*|" LINE_BREAKS "|" RUN_OF_SPACES
// Words end before a capital that follows small letters.
#define CASED_WORDS(upper, lower, ending) \
  R"([^\r\n\p{L}\p{N}]?)" upper "*" lower "+" ending R"(|[^\r\n\p{L}\p{N}]?)" upper "+" lower "*" ending
#define UPPER R"([\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}])"
#define LOWER R"([\p{Ll}\p{Lm}\p{Lo}\p{M}])"
// The same without Han: what is in no other category.
#define UPPER_NOT_HAN R"([^\p{Ll}\p{N}\p{P}\p{S}\p{Z}\p{C}\p{sc:Han}])"
#define LOWER_NOT_HAN R"([^\p{Lu}\p{Lt}\p{N}\p{P}\p{S}\p{Z}\p{C}\p{sc:Han}])"
// Of GPT-4o.
#define O200K(ending, digits) \
  CASED_WORDS(UPPER, LOWER, ending) "|" digits "| ?" OTHER "+[\\r\\n/]*|" LINE_BREAKS "|" RUN_OF_SPACES
// Of DeepSeek V3.
#define CHINESE_AND_KANA R"([\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+)"
#define MARKED_WORDS(line_breaks)                                                                \
  R"([!-/:-@\[-`{-~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+)" line_breaks \
  "|" RUN_OF_SPACES

// The letters with case that Unicode 10 had, as DeepSeek's first tokenizers list them.
#define CASED_LETTERS                                                                                        \
  R"(A-Za-z\xB5\xC0-\xD6\xD8-\xF6\xF8-\x{1BA}\x{1BC}-\x{1BF}\x{1C4}-\x{293}\x{295}-\x{2AF}\x{370}-\x{373})"  \
  R"(\x{376}\x{377}\x{37B}-\x{37D}\x{37F}\x{386}\x{388}-\x{38A}\x{38C}\x{38E}-\x{3A1}\x{3A3}-\x{3F5})"       \
  R"(\x{3F7}-\x{481}\x{48A}-\x{52F}\x{531}-\x{556}\x{10A0}-\x{10C5}\x{13A0}-\x{13F5}\x{13F8}-\x{13FD})"      \
  R"(\x{1C90}-\x{1CBA}\x{1CBD}-\x{1CBF}\x{1D00}-\x{1D2B}\x{1D6B}-\x{1D77}\x{1D79}-\x{1D9A})"                 \
  R"(\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D}\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D}\x{1F50}-\x{1F57}\x{1F59}\x{1F5B})" \
  R"(\x{1F5D}\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}\x{1FB6}-\x{1FBC}\x{1FBE}\x{1FC2}-\x{1FC4})"                  \
  R"(\x{1FC6}-\x{1FCC}\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}\x{1FE0}-\x{1FEC}\x{1FF2}-\x{1FF4})"                 \
  R"(\x{1FF6}-\x{1FFC}\x{2102}\x{2107}\x{210A}-\x{2113}\x{2115}\x{2119}-\x{211D}\x{2124}\x{2126}\x{2128})"   \
  R"(\x{212A}-\x{212D}\x{212F}-\x{2134}\x{2139}\x{213C}-\x{213F}\x{2145}-\x{2149}\x{214E}\x{2183}\x{2184})"  \
  R"(\x{2C00}-\x{2C7B}\x{2C7E}-\x{2CE4}\x{2CEB}-\x{2CEE}\x{2CF2}\x{2CF3}\x{A640}-\x{A66D})"                  \
  R"(\x{A680}-\x{A69B}\x{A722}-\x{A76F}\x{A771}-\x{A787}\x{A78B}-\x{A78E}\x{AB70}-\x{ABBF})"                 \
  R"(\x{FB00}-\x{FB06}\x{FB13}-\x{FB17}\x{FF21}-\x{FF3A}\x{FF41}-\x{FF5A}\x{10400}-\x{1044F})"               \
  R"(\x{104B0}-\x{104D3}\x{104D8}-\x{104FB}\x{10C80}-\x{10CB2}\x{10CC0}-\x{10CF2}\x{118A0}-\x{118DF})"       \
  R"(\x{1E900}-\x{1E943})"
#define CHINESE_AND_HANGUL R"([\x{0800}-\x{9FA5}\x{AC00}-\x{D7FF}]+)"

// Of Bloom: everything between spaces and a few marks.
#define BETWEEN_MARKS " ?[^" SPACES R"((|.,!?\x{2026}\x{3002}\x{FF0C}\x{3001}\x{0964}\x{06D4}\x{060C})]+)"

constexpr SplitStep kDefault[] = {{R"([\p{P}$+<=>^~|]+)"}, {GPT2}, {R"(\p{N}+)"}, {"[0-9][0-9][0-9]"}};
constexpr SplitStep kGpt2[] = {{GPT2}};
constexpr SplitStep kGpt2Digits[] = {{R"(\p{N})"}, {GPT2}};
constexpr SplitStep kFalcon[] = {{R"([\p{P}$+<=>^~|`]+)"}, {GPT2}, {"[0-9][0-9][0-9]"}};
constexpr SplitStep kLlama3[] = {{CL100K(R"(\p{N}{1,3})")}};
constexpr SplitStep kQwen2[] = {{CL100K(R"(\p{N})")}};
constexpr SplitStep kQwen35[] = {{CONTRACTION R"(|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^)" SPACES
                                              R"(\p{L}\p{M}\p{N}]+[\r\n]*|)" LINE_BREAKS "|" RUN_OF_SPACES}};
constexpr SplitStep kMiniCpm5[] = {{R"(\p{N}{1,3})"}, {CL100K(R"(\p{N}+)")}};
constexpr SplitStep kLaguna[] = {{R"([^\n]+|\n+)"}, {CL100K(R"(\p{N})")}};
constexpr SplitStep kUfakzeka[] = {
    {R"([^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?)" OTHER "+[\\r\\n]*|" LINE_BREAKS "|" RUN_OF_SPACES}};
constexpr SplitStep kSeedCoder[] = {{CONTRACTION R"(|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^)" SPACES
                                                 R"(\p{L}\p{N}\r\n]+|)" LINE_BREAKS "|" RUN_OF_SPACES}};
// Possessive, with the same matches: a long phrase needs no memory to go back.
constexpr SplitStep kExaoneMoe[] = {
    {CONTRACTION R"(|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*+(?: \p{L}\p{M}*+)*+)++|\p{N}| ?)" OTHER
                 R"(+[\r\n/]?|)" SPACE R"(*[\r\n]|)" RUN_OF_SPACES}};
// Within a run of spaces no line break can follow: looking for one at each of its words would take quadratic
// time.
constexpr SplitStep kJais2[] = {
    {CONTRACTION R"(|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?)" OTHER "+[\\r\\n]*|(?:(?<!" SPACE
                 ")|(?<=[\\r\\n]))" LINE_BREAKS "|" SPACE "{512}(?!" NOT_SPACE ")|" SPACE "{256}(?!" NOT_SPACE
                 ")|" SPACE "{128}(?!" NOT_SPACE ")|" SPACE "{64}(?!" NOT_SPACE ")|" SPACE "{32}(?!" NOT_SPACE
                 ")|" SPACE "{16}(?!" NOT_SPACE ")|" SPACE "{8}(?!" NOT_SPACE ")|" SPACE "{4}(?!" NOT_SPACE
                 ")|" SPACE "{1,2}(?!" NOT_SPACE ")|" SPACE}};
constexpr SplitStep kGpt4o[] = {{O200K(CONTRACTION "?", R"(\p{N}{1,3})")}};
constexpr SplitStep kTekken[] = {{O200K("", R"(\p{N})")}};
// The border of a word as Oniguruma sees it: marks belong to words.
constexpr SplitStep kTinyAya[] = {{R"((?<!\d)\d++(?![\p{L}\p{M}\p{Nl}\p{Pc}]))", true},
                                  {O200K(CONTRACTION "?", R"(\p{N}{1,3})")}};
constexpr SplitStep kYoutu[] = {
    {R"([\x{AC00}-\x{D7A3}\x{3131}-\x{318E}]+|[\x{FF01}\x{2026}\x{201C}\x{201D}\x{2018}\x{2019}\x{2014})"
     R"(\x{FF1A}\x{FF1B}\x{FF0C}\x{3001}-\x{303F}\x{FE30}-\x{FE4F}]+|[\x{3105}-\x{312F}]+|)" CHINESE_AND_KANA},
    {O200K(CONTRACTION "?", R"(\p{N})")}};
constexpr SplitStep kKimiK2[] = {{R"(\p{sc:Han}+|)" CASED_WORDS(
    UPPER_NOT_HAN, LOWER_NOT_HAN, CONTRACTION "?") R"(|\p{N}{1,3}| ?)" OTHER "+[\\r\\n]*|" LINE_BREAKS
                                                   "|" RUN_OF_SPACES}};
constexpr SplitStep kDeepSeekLlm[] = {{R"([\r\n])"},
                                      {SPACE "?[" CASED_LETTERS "]+"},
                                      {SPACE R"(?[!-/:-~\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF5E}\x{2018}-\x{201F})"
                                             R"(\x{3000}-\x{3002}]+)"},
                                      {"(?<!" SPACE ")" SPACE "++$"},  // only from the start of the run
                                      {CHINESE_AND_HANGUL},
                                      {R"(\p{N}+)"}};
constexpr SplitStep kDeepSeekCoder[] = {
    {R"([\r\n])"}, {SPACE R"(?\p{L}+)"}, {SPACE R"(?\p{P}+)"}, {CHINESE_AND_HANGUL}, {R"(\p{N})"}};
constexpr SplitStep kDeepSeekV3[] = {
    {R"(\p{N}{1,3})"}, {CHINESE_AND_KANA}, {MARKED_WORDS("[\\r\\n]*|" LINE_BREAKS)}};
constexpr SplitStep kSpark[] = {
    {R"(\p{N}{1,3})"}, {CHINESE_AND_KANA}, {MARKED_WORDS("|[\\r\\n]")}, {R"(\p{N})"}};
constexpr SplitStep kAfmoe[] = {
    {R"(\p{N}+)", true},
    {R"([\x{4E00}-\x{9FFF}\x{3400}-\x{4DBF}\x{F900}-\x{FAFF}\x{3040}-\x{30FF}\x{FF65}-\x{FF9F})"
     R"(\x{2F00}-\x{2FDF}\x{0E40}-\x{0E7F}\x{0E80}-\x{0EFF}\x{1780}-\x{17FF}\x{1000}-\x{109F})"
     R"(\x{AA60}-\x{AA7F}\x{A9E0}-\x{A9FF}\x{AC00}-\x{D7AF}\x{1100}-\x{11FF}]+)"},
    {MARKED_WORDS("[\\r\\n]*|" LINE_BREAKS)}};
constexpr SplitStep kSuperBpe[] = {{R"(\p{N}+)"}, {R"((?<!\d)\d+)", true}};
constexpr SplitStep kBloom[] = {{BETWEEN_MARKS}};
constexpr SplitStep kViking[] = {{BETWEEN_MARKS}, {R"(\p{N})"}};
constexpr SplitStep kChameleon[] = {{"<sentinel:[0-9]+>"}, {"IMGIMG[A-I]{1,4}Z"},       {R"([\t\n]|    |  )"},
                                    {R"(\p{N})"},          {R"([\p{P}!-/:-@\[-`{-~])"}, {GPT2}};
// Merges may join words; only line breaks stand apart.
constexpr SplitStep kLines[] = {{R"([^\n]+|\n+)"}};

constexpr PreTokenizer kPreTokenizers[] = {
    {"default", kDefault},
    {"gpt-2", kGpt2},
    {"phi-2", kGpt2},
    {"mpt", kGpt2, kComposes},
    {"olmo", kGpt2, kComposes},
    {"modern-bert", kGpt2, kComposes},
    {"jais", kGpt2},
    {"trillion", kGpt2},
    {"granite-docling", kGpt2},
    {"exaone4", kGpt2},
    {"gigachat", kGpt2},
    {"a.x-4.0", kGpt2},
    {"mellum", kGpt2},
    {"jina-es", kGpt2},
    {"jina-de", kGpt2},
    {"jina-v1-en", kGpt2},
    {"jina-v2-es", kGpt2},
    {"jina-v2-de", kGpt2},
    {"jina-v2-code", kGpt2},
    {"roberta-bpe", kGpt2},
    {"starcoder", kGpt2Digits},
    {"refact", kGpt2Digits},
    {"command-r", kGpt2Digits, kComposes},
    {"smollm", kGpt2Digits},
    {"codeshell", kGpt2Digits},
    {"exaone", kGpt2Digits},
    {"minerva-7b", kGpt2Digits},
    {"mellum2", kGpt2Digits},
    {"falcon", kFalcon},
    {"llama3", kLlama3, kWholeWordsFirst | kAddsBos},
    {"llama-v3", kLlama3, kWholeWordsFirst | kAddsBos},
    {"llama-bpe", kLlama3, kWholeWordsFirst | kAddsBos},
    {"falcon3", kLlama3, kWholeWordsFirst | kAddsBos},
    {"falcon-h1", kLlama3, kWholeWordsFirst | kAddsBos},
    {"pixtral", kLlama3, kWholeWordsFirst | kAddsBos},
    {"midm-2.0", kLlama3, kWholeWordsFirst | kAddsBos},
    {"lfm2", kLlama3, kWholeWordsFirst | kAddsBos},
    {"jina-v5-nano", kLlama3, kWholeWordsFirst | kAddsBos},
    {"dbrx", kLlama3},
    {"smaug-bpe", kLlama3},
    {"chatglm-bpe", kLlama3},
    {"glm4", kLlama3},
    {"qwen2", kQwen2, kComposes},
    {"deepseek-r1-qwen", kQwen2, kComposes},
    {"stablelm2", kQwen2, kComposes},
    {"megrez", kQwen2},
    {"hunyuan", kQwen2},
    {"solar-open", kQwen2},
    {"kormo", kQwen2},
    {"f2llmv2", kQwen2},
    {"grok-2", kQwen2},
    {"bailingmoe", kQwen2},
    {"bailingmoe2", kQwen2},
    {"llada-moe", kQwen2},
    {"qwen35", kQwen35, kComposes},
    {"minicpm5", kMiniCpm5, kWholeWordsFirst},
    {"laguna", kLaguna},
    {"ufakzeka", kUfakzeka},
    {"seed-coder", kSeedCoder},
    {"exaone-moe", kExaoneMoe},
    {"jais-2", kJais2},
    {"gpt-4o", kGpt4o, kWholeWordsFirst},
    {"llama4", kGpt4o, kWholeWordsFirst},
    {"kanana2", kGpt4o},
    {"talkie", kGpt4o},
    {"minimax-m2", kGpt4o},
    {"granite-embed-multi-97m", kGpt4o, kWholeWordsFirst},
    {"tekken", kTekken, kWholeWordsFirst | kAddsBos},
    {"tiny_aya", kTinyAya, kComposes},
    {"cohere2moe", kTinyAya, kComposes},
    {"youtu", kYoutu, kWholeWordsFirst},
    {"kimi-k2", kKimiK2},
    {"deepseek-llm", kDeepSeekLlm},
    {"deepseek-coder", kDeepSeekCoder},
    {"deepseek-v3", kDeepSeekV3},
    {"hunyuan-dense", kDeepSeekV3},
    {"joyai-llm", kDeepSeekV3},
    {"hy_v4", kDeepSeekV3},
    {"spark2_5", kSpark},
    {"afmoe", kAfmoe},
    {"superbpe", kSuperBpe},
    {"bloom", kBloom},
    {"poro-chat", kBloom},
    {"gpt3-finnish", kBloom},
    {"viking", kViking},
    {"chameleon", kChameleon, kAddsBos},
    {"gemma4", kLines, kAddsBos | kSpacesAsSymbols},
    {"granite-embed-multi-311m", kLines, kAddsBos | kSpacesAsSymbols},
    {"sarvam-moe", kLines, kSpacesAsSymbols},
};

}  // namespace

std::span<const PreTokenizer> PreTokenizers() { return kPreTokenizers; }

const PreTokenizer& FindPreTokenizer(std::string_view name) {
  if (name.empty()) name = "default";
  std::vector<std::string_view> known;
  for (const PreTokenizer& pre : kPreTokenizers) {
    if (name == pre.name) return pre;
    known.push_back(pre.name);
  }
  throw MakeError(ErrorCode::kUnsupported, "tokenizer.ggml.pre is \"{}\"; known are {}", name.substr(0, 100),
                  fmt::join(known, ", "));
}

}  // namespace throng::model
