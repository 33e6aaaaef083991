"""Markets with prices: in each village people bid for bread, and pedlars carry it to where it is dear.

    PYTHONPATH=build/release/python python3 python/examples/market.py --out results
"""

import sys

import common
import throng

VILLAGE = 7  # traders at a market, one of them a pedlar
ROAD = 12  # cells from one market to the next
ANSWER = {"type": "object", "required": ["side", "price"],
          "properties": {"side": {"enum": ["buy", "sell", "wait"]},
                         "price": {"type": "integer", "minimum": 1, "maximum": 20}}}


class Market(throng.World):
    height, perception_radius, max_velocity = 1, 1, 1

    def __init__(self, traders):
        self.traders = traders
        self.villages = max(2, traders // VILLAGE)
        self.width = self.villages * ROAD

    def market(self, i):
        return (i % self.villages * ROAD, 0)

    def agents(self):
        for i in range(self.traders):
            kind = "pedlar" if i // self.villages == VILLAGE - 1 else ("baker" if i // self.villages % 2 else "eater")
            mind = {"gold": 50, "bread": 10 if kind == "baker" else 2, "target": self.market(i)}
            yield throng.Agent(f"{kind} {i}", self.market(i), status=kind, mind=mind)

    def proceed(self, view, agent):
        mind = agent.mind
        if tuple(agent.pos) != mind["target"]:
            x = agent.pos.x + (1 if mind["target"][0] > agent.pos.x else -1)
            return {"pos": (x, 0)}
        last = view.cell(agent.pos) or "unknown"
        answer = yield throng.Call(
            f"You are {agent.name} at a market. Bread last cost {last} gold. You have {mind['gold']} gold and "
            f"{mind['bread']} loaves. You bake, eat or carry bread for a living. Your order?",
            json_schema=ANSWER, temperature=1.0, max_tokens=40, function="order")
        order = answer.json()
        if agent.status == "pedlar" and view.step % 4 == 3:  # on to the next market
            next_one = (agent.pos.x // ROAD + 1) % self.villages
            return {"order": order, "target": self.market(next_one)}
        return {"order": order}

    def resolve(self, step, members, commit):
        minds = {agent.id: dict(agent.mind) for agent in members}
        for agent in members:
            minds[agent.id]["target"] = agent.intent.get("target", agent.mind["target"])
            if "pos" in agent.intent:
                commit.move(agent, agent.intent["pos"])
            # Bakers bake, eaters eat and earn.
            minds[agent.id]["bread"] += {"baker": 1, "eater": -(agent.mind["bread"] > 0), "pedlar": 0}[agent.status]
            minds[agent.id]["gold"] += 4 if agent.status == "eater" else 0
        for place in sorted({tuple(agent.pos) for agent in members}):
            self.trade(place, [agent for agent in members if agent.pos == place], minds, commit)
        for agent in members:
            commit.set_mind(agent, minds[agent.id])

    def trade(self, place, present, minds, commit):
        """The highest bid meets the lowest offer, at the price between them, as long as they meet."""
        orders = [(agent.intent["order"]["side"], agent.intent["order"]["price"], agent) for agent in present
                  if "order" in agent.intent]
        bids = [(price, agent) for side, price, agent in orders if side == "buy" and price <= minds[agent.id]["gold"]]
        offers = [(price, agent) for side, price, agent in orders if side == "sell" and minds[agent.id]["bread"] > 0]
        bids.sort(key=lambda bid: (-bid[0], bid[1].id))
        offers.sort(key=lambda offer: (offer[0], offer[1].id))
        for (bid, buyer), (offer, seller) in zip(bids, offers):
            if bid < offer:
                break
            price = (bid + offer) // 2
            minds[buyer.id]["gold"] -= price
            minds[buyer.id]["bread"] += 1
            minds[seller.id]["gold"] += price
            minds[seller.id]["bread"] -= 1
            commit.write(place, str(price))
            commit.event(buyer, "buy", f"{place[0] // ROAD} {price}")


def table(result):
    bought = result.frame("events").where(kind="buy")
    return throng.Frame.of(("step", "village", "price", "buyer"), (
        (step, *map(int, text.split()), name) for step, name, text in zip(bought["step"], bought["name"], bought["text"])))


def plot(axes, frame):
    for village in sorted(set(frame["village"])):
        axes.plot("step", "price", data=frame.where(village=village), label=f"village {village}")
    axes.set_xlabel("step")
    axes.set_ylabel("gold for a loaf")
    axes.legend()


if __name__ == "__main__":
    sys.exit(common.main("market", __doc__, Market, table, plot, agents=28, steps=40))
