"""A small shop: an order and the run that fulfils it are committed together, or neither is.

Run it in an empty folder: ``python orders.py``. Everything is in one SQLite file, and one process: the shop's own
table, Dramaturg's tables, and the workers. On servers, `Client(database_url="postgresql://...", broker_url="redis://...")`
is all that changes, and `dramaturg worker` replaces `Worker`.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from dramaturg import Client, RunFailed, Worker

HERE = Path(__file__).resolve().parent


class Base(DeclarativeBase):
    """The shop's own tables."""


class Order(Base):
    """What somebody has ordered."""

    __tablename__ = "shop_order"

    number: Mapped[int] = mapped_column(primary_key=True)
    article: Mapped[str]
    amount: Mapped[int]


def place(client: Client, session: Session, number: int, article: str, amount: int) -> str:
    """Write an order and start its fulfilment, in the caller's transaction; return the run's id."""
    session.add(Order(number=number, article=article, amount=amount))
    session.flush()
    parameters = {"order": number, "article": article, "amount": amount}
    return client.start("orders.fulfil", parameters, id=f"order-{number}", session=session).id


def main() -> None:
    """Place two orders, one of them in vain, and wait for what comes of them."""
    database = f"sqlite:///{Path('orders.db').resolve()}"
    engine = create_engine(database)
    with Client(database_url=database, packs=[HERE / "packs"]) as client, Worker(client, threads=4):
        Base.metadata.create_all(engine)
        with Session(engine) as session, session.begin():
            good = place(client, session, 7, "tea", 3)
        print(client.get(good).result(timeout=60))

        with Session(engine) as session, session.begin():
            too_many = place(client, session, 8, "tea", 300)
        try:
            client.get(too_many).result(timeout=60)
        except RunFailed as failure:
            print(f"order 8: {failure.output['apology']}")

        # Rolled back: there is neither an order nor a run.
        with Session(engine) as session:
            place(client, session, 9, "cup", 1)
            session.rollback()
        with Session(engine) as session:
            print("orders:", [order.number for order in session.query(Order)])
    engine.dispose()


if __name__ == "__main__":
    main()
