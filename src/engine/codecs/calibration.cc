#include "engine/codecs/calibration.h"

namespace throng::engine {
namespace {

constexpr std::string_view kText =
    R"(The ferry left the harbour at seven, while the town behind it was still waking up. Anna counted the boxes on deck: 12 of apples, 7 of bread, 3 of letters. "Is that all?" asked the captain. "No," she said, "two more are coming with the baker's cart, if he remembers." He laughed, because the baker never did. Rain was expected before noon, and by then they had to be on the other side of the bay.
To make a simple soup, cut one onion and two carrots, fry them in a little oil for five minutes, add a litre of water and some salt, and let it boil until everything is soft. Serve with fresh bread.
Name: Martin
Age: 41
Job: teacher at the school
Traits: patient, curious
Knows: Ida (sister), Paul (friend), Greta (neighbour)
Plan:
- 07:00 home: have breakfast
- 08:00 school: teach the class
- 12:30 cafe: drink a coffee
- 15:00 library: borrow a book
- 19:00 home: cook dinner
Memories:
- 07:14 You began to have breakfast at the home.
- 08:37 Paul said: hello Martin, the concert is at the park at 20:00.
- 10:05 You said to Greta: good to know. Ida likes chess.
- 12:41 Ida said: I lost a key at the market.
- 13:20 You began to drink a coffee at the cafe.
- 15:09 Greta said: that is nice. see you later.
Question: Where is the concert?
Answer: park
Question: What did Ida lose?
Answer: key
def mean(values):
    total = 0
    for value in values:
        total += value
    return total / len(values)
Question: what is 17 times 6? Answer: 17 times 6 is 102, because 17 times 5 is 85 and 85 plus 17 is 102. In 1869 a chemist put the known elements in order of their weight, and left gaps for those that nobody had found yet; within twenty years three of them were discovered.
Dear Ida, the concert at the park begins at 20:00, as Paul told me this morning. Will you come with us? Greta found a key at the market; perhaps it is the one that you lost. I shall be at the library until six, and after that at home. Yours, Martin
)";

constexpr std::string_view kHeldOut =
    R"(The bus to the farm was late, and Victor had nothing to read. He counted the coins in his bag: 4 for the bread, 9 for the cheese, 2 for the way home. "You will be late again," said the driver. "So will you," he answered, and both had to laugh. At noon they were at the market, where Clara waited with a basket and a long list.
Before you plant beans, take the stones out of the ground, put the seeds in rows, and give them water in the morning. After nine days you can see the first leaves.
Name: Clara
Age: 29
Job: nurse at the clinic
Traits: quiet, honest
Knows: Leo (brother), Mia (colleague), Sam (friend)
Plan:
- 06:00 home: have breakfast
- 07:00 clinic: treat patients
- 13:00 park: jog around the pond
- 16:00 market: buy vegetables
- 20:00 pub: watch the match
Memories:
- 07:41 Mia said: hello Clara. the race is at the farm at 15:00.
- 09:18 Leo said: I lost a scarf at the library.
- 11:02 You said to Sam: thanks Sam. Leo likes tea.
- 13:05 You began to jog around the pond at the park.
- 14:26 Sam said: the pepper costs 12 coins. bye Clara.
- 16:12 You began to buy vegetables at the market.
Question: Where is the race?
Answer: farm
Question: What did Leo lose?
Answer: scarf
Question: Who likes tea?
Answer: Leo
Name: Emil
Age: 63
Job: baker at the bakery
Traits: busy, patient
Knows: Rosa (partner), Finn (friend)
Plan:
- 05:00 bakery: bake bread
- 12:00 cafe: eat lunch
- 15:00 park: walk the dog
Memories:
- 08:14 Rosa said: hello Emil. Finn needs a chair.
- 10:37 You said to Finn: Rosa will meet Paul at the college at 17:00.
- 12:20 You began to eat lunch at the cafe.
- 15:48 Finn said: thanks Emil. I saw Rosa at the shop.
Question: Who needs a chair?
Answer: Finn
def longest(words):
    best = ""
    for word in words:
        if len(word) > len(best):
            best = word
    return best
Question: what is 12 times 12? Answer: 12 times 12 is 144, because 12 times 10 is 120 and 24 more is 144.
Dear Mia, thank you for telling me of the race. Leo wants to run, and Sam will bring the tea. If it rains, we shall sit in the cafe until it is over. Yours, Clara
)";

}  // namespace

std::string_view CalibrationText() { return kText; }
std::string_view HeldOutText() { return kHeldOut; }

}  // namespace throng::engine
