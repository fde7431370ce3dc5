/** The texts of the studio, added to those that all pages have. */

import { addTexts } from "./i18n.js";
import { en } from "./i18n/studio-en.js";
import { es } from "./i18n/studio-es.js";

addTexts({ en, es });
