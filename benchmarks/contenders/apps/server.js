// The documentation's way: Express, its JSON body parser, res.json. `order` as its sample has it, and `echo`.
// The parser's limit of 100 kB is raised, for it would refuse the larger payloads. One process, as the sample is.
const express = require("express");

const app = express();
app.use(express.json({ limit: "100mb" }));

app.post("/order", (req, res) => {
  const message = req.body.Data.req.Body;
  res.json({
    Outputs: { message, res: { statusCode: 200, body: "Order complete" } },
    Logs: ["order processed"],
    ReturnValue: null,
  });
});

app.post("/echo", (req, res) => {
  const body = String(Buffer.byteLength(req.body.Data.req.Body));
  res.json({ Outputs: { res: { statusCode: 200, body } }, Logs: [], ReturnValue: null });
});

app.listen(process.env.FUNCTIONS_CUSTOMHANDLER_PORT, "127.0.0.1");
