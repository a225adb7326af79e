-- The producer: the stock sqlite3 command line, with honker loaded into it. Reads orders.csv from the current folder.
--
-- Each order is one transaction: the order, and the job that will e-mail its confirmation. Where the payment is then
-- declined the transaction is rolled back, and with the order goes its job.

.bail on
SELECT honker_bootstrap();
CREATE TABLE orders (
  order_no INTEGER PRIMARY KEY,
  customer TEXT NOT NULL,
  email TEXT NOT NULL,
  item TEXT NOT NULL,
  quantity INTEGER NOT NULL,
  total_cents INTEGER NOT NULL
);

CREATE TEMP TABLE incoming (order_no INTEGER, customer, email, item, quantity INTEGER, total_cents INTEGER, payment);
.import --csv --skip 1 orders.csv incoming

-- The command line has no loop, so SQL writes the SQL: one transaction for each line of the file. Look at
-- transactions.sql to see what an application would do by itself.
.mode list
.output transactions.sql
SELECT printf(
  'BEGIN IMMEDIATE;
INSERT INTO orders VALUES (%d, %Q, %Q, %Q, %d, %d);
SELECT honker_enqueue(''emails'', %Q, NULL, NULL, 0, 3, NULL);
%s;
',
  order_no, customer, email, item, quantity, total_cents,
  json_object('order_no', order_no, 'name', customer, 'to', email, 'item', item, 'quantity', quantity,
              'total_cents', total_cents),
  iif(payment = 'approved', 'COMMIT', 'ROLLBACK'))
FROM incoming ORDER BY order_no;
.output
.read transactions.sql
