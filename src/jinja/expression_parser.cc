#include "jinja/expression_parser.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/error.h"

namespace throng::jinja {
namespace {

constexpr int kMaxDepth = 100;

std::optional<CompareExpr::Op> ComparisonOf(const Token& token) {
  constexpr std::pair<std::string_view, CompareExpr::Op> kOps[] = {
      {"==", CompareExpr::kEqual},     {"!=", CompareExpr::kNotEqual}, {"<", CompareExpr::kLess},
      {"<=", CompareExpr::kLessEqual}, {">", CompareExpr::kGreater},   {">=", CompareExpr::kGreaterEqual}};
  if (token.kind != Token::kOperator) return std::nullopt;
  for (const auto& [text, op] : kOps) {
    if (token.text == text) return op;
  }
  return std::nullopt;
}

std::string Describe(const Token& token) {
  switch (token.kind) {
    case Token::kEnd:
      return "the end of the template";
    case Token::kData:
      return "text";
    case Token::kBlockBegin:
      return "'{%'";
    case Token::kBlockEnd:
      return "the end of the block";
    case Token::kPrintBegin:
      return "'{{'";
    case Token::kPrintEnd:
      return "the end of the print";
    default:
      return fmt::format("'{}'", token.text.substr(0, 60));
  }
}

}  // namespace

ExpressionParser::ExpressionParser(std::string_view name, Ast& ast)
    : name_(name), ast_(ast), tokens_(Lex(name, ast.source)) {
  for (const char* reserved : {"loop", "caller", "varargs", "kwargs"}) Intern(reserved);
}

ExpressionParser::Level::Level(ExpressionParser& parser) : parser_(parser) {
  if (++parser_.depth_ > kMaxDepth) {
    parser_.Fail(parser_.Current().offset, fmt::format("nested deeper than {} levels", kMaxDepth));
  }
}

void ExpressionParser::Fail(size_t offset, std::string_view message) const {
  throw MakeError(ErrorCode::kInvalid, "{}: {}", PositionIn(name_, ast_.source, offset), message);
}

void ExpressionParser::FailToken(std::string_view expected) const {
  Fail(Current().offset, fmt::format("found {}, expected {}", Describe(Current()), expected));
}

bool ExpressionParser::SkipOperator(std::string_view text) {
  if (!IsOperator(text)) return false;
  ++pos_;
  return true;
}

bool ExpressionParser::SkipName(std::string_view text) {
  if (!IsName(text)) return false;
  ++pos_;
  return true;
}

void ExpressionParser::ExpectOperator(std::string_view text) {
  if (!SkipOperator(text)) FailToken(fmt::format("'{}'", text));
}

std::string ExpressionParser::ExpectName(std::string_view what) {
  if (Current().kind != Token::kName) FailToken(what);
  return Take().text;
}

void ExpressionParser::Expect(Token::Kind kind, std::string_view what) {
  if (Current().kind != kind) FailToken(what);
  ++pos_;
}

NameId ExpressionParser::Intern(const std::string& name) {
  const auto [found, is_new] = ids_.try_emplace(name, static_cast<NameId>(ast_.names.size()));
  if (is_new) ast_.names.push_back(name);
  return found->second;
}

Expr* ExpressionParser::NewConst(size_t offset, Value value) {
  auto* node = NewExpr<ConstExpr>(Expr::kConst, offset);
  node->value = std::move(value);
  return node;
}

Expr* ExpressionParser::NewBinary(BinaryExpr::Op op, size_t offset, Expr* left, Expr* right) {
  auto* node = NewExpr<BinaryExpr>(Expr::kBinary, offset);
  node->op = op;
  node->left = left;
  node->right = right;
  return node;
}

Expr* ExpressionParser::ParseTuple() {
  const size_t offset = Current().offset;
  Expr* first = ParseExpression();
  if (!IsOperator(",")) return first;
  auto* tuple = NewExpr<ListExpr>(Expr::kList, offset);
  tuple->is_tuple = true;
  tuple->items.push_back(first);
  while (SkipOperator(",")) {
    if (!BeginsPrimary() && !IsOperator("-") && !IsOperator("+")) break;  // a comma at the end
    tuple->items.push_back(ParseExpression());
  }
  return tuple;
}

Expr* ExpressionParser::ParseExpression(bool with_condition) {
  const Level level(*this);
  return with_condition ? ParseConditional() : ParseOr();
}

Expr* ExpressionParser::ParseConditional() {
  Expr* value = ParseOr();
  while (IsName("if")) {
    auto* node = NewExpr<ConditionalExpr>(Expr::kConditional, Take().offset);
    node->then = value;
    node->condition = ParseOr();
    node->otherwise = SkipName("else") ? ParseExpression() : nullptr;
    value = node;
  }
  return value;
}

Expr* ExpressionParser::ParseOr() {
  Expr* left = ParseAnd();
  while (IsName("or")) {
    auto* node = NewExpr<LogicExpr>(Expr::kLogic, Take().offset);
    node->is_and = false;
    node->left = left;
    node->right = ParseAnd();
    left = node;
  }
  return left;
}

Expr* ExpressionParser::ParseAnd() {
  Expr* left = ParseNot();
  while (IsName("and")) {
    auto* node = NewExpr<LogicExpr>(Expr::kLogic, Take().offset);
    node->is_and = true;
    node->left = left;
    node->right = ParseNot();
    left = node;
  }
  return left;
}

Expr* ExpressionParser::ParseNot() {
  if (!IsName("not")) return ParseComparison();
  const Level level(*this);
  auto* node = NewExpr<UnaryExpr>(Expr::kUnary, Take().offset);
  node->op = UnaryExpr::kNot;
  node->operand = ParseNot();
  return node;
}

Expr* ExpressionParser::ParseComparison() {
  const size_t offset = Current().offset;
  Expr* first = ParseSum();
  std::vector<CompareExpr::Step> steps;
  while (true) {
    if (const auto op = ComparisonOf(Current())) {
      ++pos_;
      steps.push_back({*op, ParseSum()});
    } else if (SkipName("in")) {
      steps.push_back({CompareExpr::kIn, ParseSum()});
    } else if (IsName("not") && Following().kind == Token::kName && Following().text == "in") {
      pos_ += 2;
      steps.push_back({CompareExpr::kNotIn, ParseSum()});
    } else {
      break;
    }
  }
  if (steps.empty()) return first;
  auto* node = NewExpr<CompareExpr>(Expr::kCompare, offset);
  node->first = first;
  node->steps = std::move(steps);
  return node;
}

Expr* ExpressionParser::ParseSum() {
  Expr* left = ParseConcat();
  while (IsOperator("+") || IsOperator("-")) {
    const Token op = Take();
    left =
        NewBinary(op.text == "+" ? BinaryExpr::kAdd : BinaryExpr::kSubtract, op.offset, left, ParseConcat());
  }
  return left;
}

Expr* ExpressionParser::ParseConcat() {
  Expr* first = ParseProduct();
  if (!IsOperator("~")) return first;
  auto* node = NewExpr<ConcatExpr>(Expr::kConcat, Current().offset);
  node->items.push_back(first);
  while (SkipOperator("~")) node->items.push_back(ParseProduct());
  return node;
}

Expr* ExpressionParser::ParseProduct() {
  Expr* left = ParsePower();
  while (true) {
    BinaryExpr::Op op;
    if (IsOperator("*"))
      op = BinaryExpr::kMultiply;
    else if (IsOperator("/"))
      op = BinaryExpr::kDivide;
    else if (IsOperator("//"))
      op = BinaryExpr::kFloorDivide;
    else if (IsOperator("%"))
      op = BinaryExpr::kModulo;
    else
      return left;
    const size_t offset = Take().offset;
    left = NewBinary(op, offset, left, ParsePower());
  }
}

Expr* ExpressionParser::ParsePower() {
  Expr* left = ParseUnary(/*with_filters=*/true);
  while (IsOperator("**")) {
    const size_t offset = Take().offset;
    left = NewBinary(BinaryExpr::kPower, offset, left, ParseUnary(/*with_filters=*/true));
  }
  return left;
}

Expr* ExpressionParser::ParseUnary(bool with_filters) {
  const Level level(*this);
  Expr* node;
  if (IsOperator("-") || IsOperator("+")) {
    const Token op = Take();
    auto* unary = NewExpr<UnaryExpr>(Expr::kUnary, op.offset);
    unary->op = op.text == "-" ? UnaryExpr::kNegative : UnaryExpr::kPositive;
    unary->operand = ParseUnary(/*with_filters=*/false);
    node = unary;
  } else {
    node = ParsePrimary();
  }
  node = ParsePostfix(node);
  return with_filters ? ParseFilters(node, /*begins_with_name=*/false) : node;
}

bool ExpressionParser::BeginsPrimary() const {
  switch (Current().kind) {
    case Token::kName:
      for (const char* word : {"if", "else", "in", "recursive"}) {
        if (Current().text == word) return false;
      }
      return true;
    case Token::kString:
    case Token::kInteger:
    case Token::kFloat:
      return true;
    default:
      return IsOperator("(") || IsOperator("[") || IsOperator("{");
  }
}

Expr* ExpressionParser::ParsePrimary() {
  const Token& token = Current();
  const size_t offset = token.offset;
  switch (token.kind) {
    case Token::kName:
      return ParseNameOrConstant();
    case Token::kString: {
      std::string text;
      while (Current().kind == Token::kString) text += Take().text;
      return NewConst(offset, Text::Frame(std::move(text)));
    }
    case Token::kInteger:
    case Token::kFloat: {
      const Token number = Take();
      if (number.kind == Token::kInteger)
        return NewConst(offset, static_cast<int64_t>(std::stoll(number.text)));
      double value = 0;
      std::from_chars(number.text.data(), number.text.data() + number.text.size(), value);
      return NewConst(offset, value);
    }
    default:
      break;
  }
  if (IsOperator("(")) return ParseParenthesis();
  if (IsOperator("[")) return ParseListLiteral();
  if (IsOperator("{")) return ParseDictLiteral();
  FailToken("an expression");
}

Expr* ExpressionParser::ParseNameOrConstant() {
  const Token token = Take();
  if (token.text == "true" || token.text == "True") return NewConst(token.offset, true);
  if (token.text == "false" || token.text == "False") return NewConst(token.offset, false);
  if (token.text == "none" || token.text == "None") return NewConst(token.offset, None());
  auto* node = NewExpr<NameExpr>(Expr::kName, token.offset);
  node->id = Intern(token.text);
  for (MacroStmt* macro : macros_) {
    macro->uses_caller |= node->id == kCallerName;
    macro->uses_varargs |= node->id == kVarargsName;
    macro->uses_kwargs |= node->id == kKwargsName;
  }
  return node;
}

Expr* ExpressionParser::ParseParenthesis() {
  const size_t offset = Take().offset;
  if (SkipOperator(")")) {
    auto* empty = NewExpr<ListExpr>(Expr::kList, offset);
    empty->is_tuple = true;
    return empty;
  }
  Expr* node = ParseTuple();
  ExpectOperator(")");
  return node;
}

Expr* ExpressionParser::ParseListLiteral() {
  auto* list = NewExpr<ListExpr>(Expr::kList, Take().offset);
  list->is_tuple = false;
  while (!SkipOperator("]")) {
    if (!list->items.empty()) {
      ExpectOperator(",");
      if (SkipOperator("]")) break;
    }
    list->items.push_back(ParseExpression());
  }
  return list;
}

Expr* ExpressionParser::ParseDictLiteral() {
  auto* dict = NewExpr<DictExpr>(Expr::kDict, Take().offset);
  while (!SkipOperator("}")) {
    if (!dict->items.empty()) {
      ExpectOperator(",");
      if (SkipOperator("}")) break;
    }
    Expr* key = ParseExpression();
    ExpectOperator(":");
    dict->items.emplace_back(key, ParseExpression());
  }
  return dict;
}

Expr* ExpressionParser::ParsePostfix(Expr* operand) {
  while (true) {
    if (IsOperator(".") || IsOperator("[")) {
      operand = ParseSubscript(operand);
    } else if (IsOperator("(")) {
      auto* call = NewExpr<CallExpr>(Expr::kCall, Current().offset);
      call->callee = operand;
      call->arguments = ParseArguments();
      operand = call;
    } else {
      return operand;
    }
  }
}

Expr* ExpressionParser::ParseSubscript(Expr* object) {
  const Token token = Take();
  if (token.text == "[") {
    Expr* node = ParseIndex(object);
    ExpectOperator("]");
    return node;
  }
  if (Current().kind == Token::kName) {
    auto* node = NewExpr<AttributeExpr>(Expr::kAttribute, token.offset);
    node->object = object;
    node->name = Take().text;
    return node;
  }
  if (Current().kind == Token::kInteger) {
    auto* node = NewExpr<ItemExpr>(Expr::kItem, token.offset);
    node->object = object;
    const Token index = Take();
    node->index = NewConst(index.offset, static_cast<int64_t>(std::stoll(index.text)));
    return node;
  }
  FailToken("the name of an attribute");
}

Expr* ExpressionParser::ParseIndex(Expr* object) {
  const size_t offset = Current().offset;
  Expr* start = nullptr;
  if (!IsOperator(":")) {
    start = ParseTuple();
    if (!IsOperator(":")) {
      auto* node = NewExpr<ItemExpr>(Expr::kItem, offset);
      node->object = object;
      node->index = start;
      return node;
    }
  }
  auto* slice = NewExpr<SliceExpr>(Expr::kSlice, offset);
  slice->object = object;
  slice->start = start;
  Expr** const parts[] = {&slice->stop, &slice->step};
  for (Expr** part : parts) {
    *part = nullptr;
    if (SkipOperator(":") && !IsOperator(":") && !IsOperator("]")) *part = ParseExpression();
  }
  return slice;
}

ArgumentExprs ExpressionParser::ParseArguments() {
  ExpectOperator("(");
  ArgumentExprs arguments;
  bool is_first = true;
  while (!SkipOperator(")")) {
    if (!std::exchange(is_first, false)) {
      ExpectOperator(",");
      if (SkipOperator(")")) break;
    }
    if (SkipOperator("*")) {
      if (arguments.more_positional != nullptr || arguments.more_named != nullptr)
        FailToken("at most one *list");
      arguments.more_positional = ParseExpression();
    } else if (SkipOperator("**")) {
      if (arguments.more_named != nullptr) FailToken("at most one **dict");
      arguments.more_named = ParseExpression();
    } else if (Current().kind == Token::kName && Following().kind == Token::kOperator &&
               Following().text == "=") {
      Text name = Text::Frame(Take().text);
      ++pos_;
      arguments.named.push_back({std::move(name), ParseExpression()});
    } else {
      if (!arguments.named.empty() || arguments.more_positional != nullptr ||
          arguments.more_named != nullptr) {
        FailToken("an argument with a name, because those before it have one");
      }
      arguments.positional.push_back(ParseExpression());
    }
  }
  return arguments;
}

Expr* ExpressionParser::ParseFilters(Expr* operand, bool begins_with_name) {
  const bool in_block = operand == nullptr;  // which allows nothing but filters
  while (true) {
    if (begins_with_name || IsOperator("|")) {
      if (!std::exchange(begins_with_name, false)) ++pos_;
      auto* filter = NewExpr<FilterExpr>(Expr::kFilter, Current().offset);
      filter->operand = operand;
      filter->name = ExpectName("the name of a filter");
      while (SkipOperator(".")) filter->name += "." + ExpectName("the name of a filter");
      filter->filter = FindFilter(filter->name);
      if (IsOperator("(")) filter->arguments = ParseArguments();
      operand = filter;
    } else if (!in_block && IsName("is")) {
      operand = ParseTest(operand);
    } else if (!in_block && IsOperator("(")) {
      operand = ParsePostfix(operand);
    } else {
      return operand;
    }
  }
}

Expr* ExpressionParser::ParseTest(Expr* operand) {
  const size_t offset = Take().offset;
  const bool negated = SkipName("not");
  auto* test = NewExpr<TestExpr>(Expr::kTest, offset);
  test->operand = operand;
  test->name = ExpectName("the name of a test");
  while (SkipOperator(".")) test->name += "." + ExpectName("the name of a test");
  test->test = FindTest(test->name);
  if (IsOperator("(")) {
    test->arguments = ParseArguments();
  } else if (BeginsPrimary() && !IsName("or") && !IsName("and") && !IsName("not")) {
    if (IsName("is")) Fail(Current().offset, "tests cannot be chained with 'is'");
    test->arguments.positional.push_back(ParsePostfix(ParsePrimary()));
  }
  if (!negated) return test;
  auto* node = NewExpr<UnaryExpr>(Expr::kUnary, offset);
  node->op = UnaryExpr::kNot;
  node->operand = test;
  return node;
}

}  // namespace throng::jinja
