#include "jinja/parser.h"

#include <algorithm>

#include "base/error.h"
#include "jinja/expression_parser.h"

namespace throng::jinja {
namespace {

using Words = std::initializer_list<std::string_view>;

class Parser : public ExpressionParser {
 public:
  Parser(std::string_view name, Ast& ast) : ExpressionParser(name, ast) {}

  void Run() { ast_.body = ParseBody({}, "the template"); }

 private:
  template <typename T>
  T* NewStmt(Stmt::Kind kind, size_t offset) {
    T* node = New<T>(offset);
    node->kind = kind;
    return node;
  }

  bool IsTag(Words words) const {
    return Current().kind == Token::kBlockBegin && Following().kind == Token::kName &&
           std::ranges::find(words, Following().text) != words.end();
  }

  // Statements up to a block whose word is one of `ends`, which stays in front; or to the end of the template
  // if there are none. `what` has no end without it.
  Body ParseBody(Words ends, std::string_view what) {
    const Level level(*this);
    const size_t begin = Current().offset;
    Body body;
    while (!IsTag(ends)) {
      switch (Current().kind) {
        case Token::kData: {
          auto* data = NewStmt<DataStmt>(Stmt::kData, Current().offset);
          data->text = Text::Frame(Take().text);
          body.push_back(data);
          break;
        }
        case Token::kPrintBegin: {
          auto* print = NewStmt<PrintStmt>(Stmt::kPrint, Take().offset);
          print->value = ParseTuple();
          Expect(Token::kPrintEnd, "'}}'");
          body.push_back(print);
          break;
        }
        case Token::kBlockBegin:
          ParseBlock(body);
          break;
        default:
          if (ends.size() == 0) return body;
          Fail(begin, fmt::format("{} has no end \"{{% {} %}}\"", what, *(ends.end() - 1)));
      }
    }
    return body;
  }

  // A body with one end, which is skipped.
  Body ParseBodyTo(std::string_view end, std::string_view what) {
    Expect(Token::kBlockEnd, "'%}'");
    Body body = ParseBody({end}, what);
    SkipEnd();
    return body;
  }

  // The block {% endxyz %} that IsTag has found.
  void SkipEnd() {
    pos_ += 2;
    Expect(Token::kBlockEnd, "'%}'");
  }

  void ParseBlock(Body& body) {
    const size_t offset = Take().offset;
    const std::string word = ExpectName("the name of a block");
    if (word == "if") return body.push_back(ParseIf(offset));
    if (word == "for") return body.push_back(ParseFor(offset));
    if (word == "set") return body.push_back(ParseSet(offset));
    if (word == "macro") return body.push_back(ParseMacro(offset));
    if (word == "call") return body.push_back(ParseCall(offset));
    if (word == "filter") return body.push_back(ParseFilterBlock(offset));
    if (word == "with") return body.push_back(ParseWith(offset));
    if (word == "autoescape") return body.push_back(ParseAutoescape(offset));
    if (word == "generation") return body.push_back(ParseGeneration(offset));
    if (word == "break" || word == "continue") return body.push_back(ParseJump(offset, word));
    for (const char* other : {"include", "import", "from", "extends", "block"}) {
      if (word == other) {
        throw MakeError(ErrorCode::kUnsupported, "{}: '{}' is not supported: a chat template is one file",
                        PositionIn(name_, ast_.source, offset), word);
      }
    }
    Fail(offset,
         fmt::format("found the block '{}', allowed are if, for, set, macro, call, filter, with, raw, "
                     "autoescape, generation, break and continue",
                     word.substr(0, 60)));
  }

  Stmt* ParseIf(size_t offset) {
    auto* node = NewStmt<IfStmt>(Stmt::kIf, offset);
    node->branches.push_back({ParseTuple(), {}});
    while (true) {
      Expect(Token::kBlockEnd, "'%}'");
      const bool is_else = node->branches.back().condition == nullptr;
      node->branches.back().body = is_else ? ParseBody({"endif"}, "the block 'if'")
                                           : ParseBody({"elif", "else", "endif"}, "the block 'if'");
      if (IsTag({"endif"})) break;
      const bool is_elif = IsTag({"elif"});
      pos_ += 2;
      node->branches.push_back({is_elif ? ParseTuple() : nullptr, {}});
    }
    SkipEnd();
    return node;
  }

  Stmt* ParseFor(size_t offset) {
    auto* node = NewStmt<ForStmt>(Stmt::kFor, offset);
    node->target = ParseTarget(/*with_attributes=*/false);
    if (!SkipName("in")) FailToken("'in'");
    node->items = ParseLoopItems();
    if (SkipName("if")) node->condition = ParseExpression();
    node->is_recursive = SkipName("recursive");
    Expect(Token::kBlockEnd, "'%}'");
    ++loops_;
    node->body = ParseBody({"else", "endfor"}, "the block 'for'");
    --loops_;
    if (IsTag({"else"})) {
      pos_ += 2;
      Expect(Token::kBlockEnd, "'%}'");
      node->otherwise = ParseBody({"endfor"}, "the block 'for'");
    }
    SkipEnd();
    return node;
  }

  // Without a condition, which is the loop's own.
  Expr* ParseLoopItems() {
    const size_t offset = Current().offset;
    Expr* first = ParseExpression(/*with_condition=*/false);
    if (!IsOperator(",")) return first;
    auto* tuple = NewExpr<ListExpr>(Expr::kList, offset);
    tuple->is_tuple = true;
    tuple->items.push_back(first);
    while (SkipOperator(",")) tuple->items.push_back(ParseExpression(/*with_condition=*/false));
    return tuple;
  }

  Target ParseTarget(bool with_attributes) {
    const size_t offset = Current().offset;
    Target first = ParseOneTarget(with_attributes);
    if (!IsOperator(",")) return first;
    Target tuple{.kind = Target::kTuple, .offset = offset};
    tuple.items.push_back(std::move(first));
    while (SkipOperator(",")) {
      if (Current().kind != Token::kName && !IsOperator("(")) break;
      if (IsName("in")) break;
      tuple.items.push_back(ParseOneTarget(with_attributes));
    }
    return tuple;
  }

  Target ParseOneTarget(bool with_attributes) {
    const Level level(*this);
    Target target{.offset = Current().offset};
    if (SkipOperator("(")) {
      target = ParseTarget(with_attributes);
      ExpectOperator(")");
      return target;
    }
    const std::string name = ExpectName("a variable to assign to");
    for (const char* word : {"true", "false", "none", "True", "False", "None"}) {
      if (name == word) Fail(target.offset, fmt::format("nothing can be assigned to '{}'", name));
    }
    target.id = Intern(name);
    if (with_attributes && SkipOperator(".")) {
      target.kind = Target::kAttribute;
      target.attribute = ExpectName("the name of an attribute");
    }
    return target;
  }

  Stmt* ParseSet(size_t offset) {
    Target target = ParseTarget(/*with_attributes=*/true);
    if (SkipOperator("=")) {
      auto* node = NewStmt<SetStmt>(Stmt::kSet, offset);
      node->target = std::move(target);
      node->value = ParseTuple();
      Expect(Token::kBlockEnd, "'%}'");
      return node;
    }
    auto* node = NewStmt<SetBlockStmt>(Stmt::kSetBlock, offset);
    node->target = std::move(target);
    node->filter = ParseFilters(nullptr, /*begins_with_name=*/false);
    node->body = ParseOwnBody("endset", "the block 'set'");
    return node;
  }

  // A body that a `break` cannot leave.
  Body ParseOwnBody(std::string_view end, std::string_view what) {
    const int outer = std::exchange(loops_, 0);
    Body body = ParseBodyTo(end, what);
    loops_ = outer;
    return body;
  }

  void ParseParameters(MacroStmt& macro) {
    ExpectOperator("(");
    bool is_first = true;
    while (!SkipOperator(")")) {
      if (!std::exchange(is_first, false)) {
        ExpectOperator(",");
        if (SkipOperator(")")) break;
      }
      const size_t offset = Current().offset;
      MacroStmt::Parameter parameter;
      parameter.name = ExpectName("the name of a parameter");
      parameter.id = Intern(parameter.name);
      parameter.standard = SkipOperator("=") ? ParseExpression() : nullptr;
      if (parameter.standard == nullptr && !macro.parameters.empty() &&
          macro.parameters.back().standard != nullptr) {
        Fail(offset, fmt::format("the parameter '{}' has no default, but one before it has", parameter.name));
      }
      macro.parameters.push_back(std::move(parameter));
    }
  }

  Stmt* ParseMacro(size_t offset) {
    auto* macro = NewStmt<MacroStmt>(Stmt::kMacro, offset);
    macro->name = ExpectName("the name of a macro");
    macro->id = Intern(macro->name);
    macros_.push_back(macro);
    ParseParameters(*macro);
    macro->body = ParseOwnBody("endmacro", "the block 'macro'");
    macros_.pop_back();
    return macro;
  }

  Stmt* ParseCall(size_t offset) {
    auto* node = NewStmt<CallBlockStmt>(Stmt::kCallBlock, offset);
    node->caller = NewStmt<MacroStmt>(Stmt::kMacro, offset);
    node->caller->name = "caller";
    if (IsOperator("(")) ParseParameters(*node->caller);
    const size_t call_offset = Current().offset;
    Expr* call = ParseExpression();
    if (call->kind != Expr::kCall) Fail(call_offset, "the block 'call' needs the call of a macro");
    node->call = static_cast<CallExpr*>(call);
    macros_.push_back(node->caller);
    node->caller->body = ParseOwnBody("endcall", "the block 'call'");
    macros_.pop_back();
    return node;
  }

  Stmt* ParseFilterBlock(size_t offset) {
    auto* node = NewStmt<FilterBlockStmt>(Stmt::kFilterBlock, offset);
    node->filter = ParseFilters(nullptr, /*begins_with_name=*/true);
    node->body = ParseOwnBody("endfilter", "the block 'filter'");
    return node;
  }

  Stmt* ParseWith(size_t offset) {
    auto* node = NewStmt<WithStmt>(Stmt::kWith, offset);
    while (Current().kind != Token::kBlockEnd) {
      if (!node->variables.empty()) ExpectOperator(",");
      Target target = ParseOneTarget(/*with_attributes=*/false);
      ExpectOperator("=");
      node->variables.emplace_back(std::move(target), ParseExpression());
    }
    node->body = ParseBodyTo("endwith", "the block 'with'");
    return node;
  }

  Stmt* ParseAutoescape(size_t offset) {
    auto* node = NewStmt<ScopeStmt>(Stmt::kScope, offset);
    const Token& word = Current();
    if (word.kind != Token::kName || (word.text != "false" && word.text != "False"))
      Fail(word.offset, "'autoescape' is allowed with false alone: a prompt is no HTML");
    ++pos_;
    node->body = ParseBodyTo("endautoescape", "the block 'autoescape'");
    return node;
  }

  // Marks what a model is trained to write; rendering takes no notice.
  Stmt* ParseGeneration(size_t offset) {
    auto* node = NewStmt<ScopeStmt>(Stmt::kScope, offset);
    node->body = ParseOwnBody("endgeneration", "the block 'generation'");
    return node;
  }

  Stmt* ParseJump(size_t offset, std::string_view word) {
    if (loops_ == 0) Fail(offset, fmt::format("'{}' outside of a loop", word));
    Expect(Token::kBlockEnd, "'%}'");
    return NewStmt<JumpStmt>(word == "break" ? Stmt::kBreak : Stmt::kContinue, offset);
  }

  int loops_ = 0;  // around the statement, inside of the same macro
};

}  // namespace

Ast Parse(std::string_view name, std::string_view source) {
  Ast ast;
  ast.source = NormaliseSource(source);
  Parser(name, ast).Run();
  return ast;
}

}  // namespace throng::jinja
